//! The tasks of this worker, shown to be alive; and those whose time is over, removed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::parts::Parts;
use crate::task::RENEWAL;

/// How long a renewal is waited for. With two in a run, and a pause, three begin before the tasks are given up.
const ATTEMPT: Duration = Duration::from_secs(12);

/// Renews the rows of the tasks that this worker has.
pub(super) struct Leases;

impl Job<Parts> for Leases {
    const NAME: &'static str = "leases of tasks";
    // Soon after the database is back: other hosts end the tasks whose leases are over.
    const LONGEST_RETRY: Duration = RENEWAL;
    // Other hosts would end the imports that the worker finishes.
    const RUNS_WHILE_DRAINING: bool = true;

    fn schedule(&self, _parts: &Parts) -> Schedule {
        Schedule { period: Some(RENEWAL), after_reload: false, limit: ATTEMPT * 2 }
    }

    async fn run(&self, parts: Arc<Parts>, _stop: CancellationToken) -> Result<(), Failure> {
        // Another connection may answer at once where this one hangs.
        match timeout(ATTEMPT, parts.tasks.renew_leases()).await {
            Ok(renewed) => Ok(renewed?),
            Err(_) => Ok(parts.tasks.renew_leases().await?),
        }
    }
}

/// Ends the imports of workers of other hosts that have died.
pub(super) struct Reclaiming;

impl Job<Parts> for Reclaiming {
    const NAME: &'static str = "reclaiming of imports";

    fn schedule(&self, _parts: &Parts) -> Schedule {
        // With a lease and the time that this takes, two minutes are enough.
        Schedule { period: Some(Duration::from_secs(20)), after_reload: true, limit: Duration::from_secs(5 * 60) }
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            reclaimed = parts.tasks.reclaim_from_others() => Ok(reclaimed?),
            () = stop.cancelled() => Ok(()),
        }
    }
}

/// Marks as deleted what nobody is shown any more.
pub(super) struct Expiry;

impl Job<Parts> for Expiry {
    const NAME: &'static str = "expiry of tasks";

    fn schedule(&self, _parts: &Parts) -> Schedule {
        Schedule { period: Some(Duration::from_secs(3600)), after_reload: false, limit: Duration::from_secs(120) }
    }

    async fn run(&self, parts: Arc<Parts>, _stop: CancellationToken) -> Result<(), Failure> {
        Ok(parts.tasks.remove_expired().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::jobs::pace::{pause, spread};
    use crate::task::HELD;

    #[test]
    fn three_renewals_may_be_tried_before_the_tasks_are_given_up() {
        let wait = |failures| spread(pause(Some(RENEWAL), failures, Leases::LONGEST_RETRY).unwrap(), 1.0);
        let third = wait(0) + ATTEMPT * 2 + wait(1);
        assert!(third + Duration::from_secs(5) < HELD, "{third:?}");
    }
}
