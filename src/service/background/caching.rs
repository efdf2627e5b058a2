//! Keeping the image cache in order.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::parts::Parts;

const PERIOD: Duration = Duration::from_secs(60);

/// Nothing of it waits for stores.
const LIMIT: Duration = Duration::from_secs(5 * 60);

pub(super) struct Caching;

impl Job<Parts> for Caching {
    const NAME: &'static str = "image cache";

    fn schedule(&self, parts: &Parts) -> Schedule {
        Schedule { period: parts.cache.as_ref().map(|_| PERIOD), after_reload: true, limit: LIMIT }
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        let Some(cache) = &parts.cache else { return Ok(()) };
        tokio::select! {
            tidied = cache.tidy() => Ok(tidied?),
            () = stop.cancelled() => Ok(()),
        }
    }
}
