//! Giving back to the system what only a burst of requests, or an image's data on its way, has needed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::counters::Counters;
use crate::sys::heap;

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
        // Bursts that follow one another closely need the memory again.
        Schedule { period: Some(Duration::from_secs(5)), after_reload: false, limit: Duration::from_secs(60) }
    }

    async fn run(&self, _parts: Arc<P>, _stop: CancellationToken) -> Result<(), Failure> {
        if self.counters.work_is_over() {
            spawn_blocking(heap::trim).await?;
        }
        Ok(())
    }
}
