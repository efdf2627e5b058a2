//! Removing from stores what writers that are no more have left there, where the store cannot keep that from happening.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::parts::Parts;

/// It takes up room, and does no other harm.
const PERIOD: Duration = Duration::from_secs(3600);

pub(super) struct Sweeping;

impl Job<Parts> for Sweeping {
    const NAME: &'static str = "sweeping";

    fn schedule(&self, _parts: &Parts) -> Schedule {
        Schedule { period: Some(PERIOD), after_reload: false, limit: PERIOD }
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        for entry in parts.stores.all() {
            tokio::select! {
                () = entry.store.sweep() => {}
                () = stop.cancelled() => break,
            }
        }
        tokio::select! {
            swept = parts.images.sweep_staging() => Ok(swept?),
            () = stop.cancelled() => Ok(()),
        }
    }
}
