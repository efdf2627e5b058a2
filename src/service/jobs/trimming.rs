//! Giving back what only a burst of requests, or an image's data on its way, has needed: memory to the system, and connections to the
//! database.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::counters::Counters;
use crate::service::parts::Parts;
use crate::sys::heap;

/// Memory is given back so long after a burst of work: another that follows closely needs it again.
const AFTER_BURST: Duration = Duration::from_secs(5);

/// Sleeps while nothing is to be given back.
pub(super) struct Trimming {
    counters: Arc<Counters>,
}

impl Trimming {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters }
    }
}

impl<P: Send + Sync> Job<P> for Trimming {
    const NAME: &'static str = "trimming";

    fn schedule(&self, _parts: &P) -> Schedule {
        Schedule { period: None, after_reload: false, limit: Duration::from_secs(60) }
    }

    async fn wanted(&self, parts: Arc<P>) {
        drop(parts);
        self.counters.work_came().await;
        sleep(AFTER_BURST).await;
    }

    async fn run(&self, _parts: Arc<P>, _stop: CancellationToken) -> Result<(), Failure> {
        if self.counters.work_is_over() {
            spawn_blocking(heap::trim).await?;
        }
        Ok(())
    }
}

/// Closes the connections to the database above `max_pool_size` that nobody has used for a while. Where there are none it sleeps.
pub(super) struct Connections;

/// What makes them many is a burst, and another may follow.
const PAUSE: Duration = Duration::from_secs(30);

impl Job<Parts> for Connections {
    const NAME: &'static str = "idle connections to the database";

    fn schedule(&self, _parts: &Parts) -> Schedule {
        // Closing a connection has a limit of its own.
        Schedule { period: None, after_reload: false, limit: Duration::from_secs(5 * 60) }
    }

    async fn wanted(&self, parts: Arc<Parts>) {
        let database = parts.database.clone();
        // Whoever waits must not keep what a reload has replaced.
        drop(parts);
        database.wait_for_surplus().await;
        sleep(PAUSE).await;
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            () = parts.database.trim() => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }
}
