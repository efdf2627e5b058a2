//! What the service manager shows of the worker, kept fresh.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::manager::Manager;
use crate::service::parts::Parts;
use crate::service::shared::Shared;
use crate::service::status::Status;

/// How often the line is renewed while what it says changes.
const PAUSE: Duration = Duration::from_secs(2);

/// Sleeps while nothing changes.
pub(super) struct StatusLine {
    shared: Arc<Shared>,
    status: Arc<Status>,
    manager: Manager,
    shown: Mutex<String>,
}

impl StatusLine {
    pub(super) fn new(shared: Arc<Shared>, status: Arc<Status>, manager: Manager) -> Self {
        Self { shared, status, manager, shown: Mutex::default() }
    }
}

impl Job<Parts> for StatusLine {
    const NAME: &'static str = "status line";

    fn schedule(&self, parts: &Parts) -> Schedule {
        // Nothing tells that another image has been fetched into the cache.
        let period = parts.fetched().map(|_| PAUSE);
        Schedule { period, after_reload: false, limit: Duration::from_secs(60) }
    }

    async fn wanted(&self, parts: Arc<Parts>) {
        drop(parts);
        sleep(PAUSE).await;
        tokio::select! {
            () = self.shared.counters.changed() => {}
            () = self.status.jobs_changed() => {}
            () = self.shared.pool.changed() => {}
        }
    }

    async fn run(&self, _parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        let line = self.status.now(&self.shared);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // The end of the worker has words of its own.
        if *shown != line && !stop.is_cancelled() {
            self.manager.status(&line);
            *shown = line;
        }
        Ok(())
    }
}
