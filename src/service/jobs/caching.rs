//! Keeping the image cache in order, what is queued for it, and what it has done.

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

/// Fetches what is queued and nobody fetches: what a worker has left that ended, and what an operator has queued by the old routes.
pub(super) struct Prefetching;

/// Images that one run asks for; the rest is for the next one.
const MOST_QUEUED: usize = 1000;

impl Job<Parts> for Prefetching {
    const NAME: &'static str = "queue of the image cache";

    fn schedule(&self, parts: &Parts) -> Schedule {
        let period = parts.cache.as_ref().map(|_| Duration::from_secs(5 * 60));
        Schedule { period, after_reload: false, limit: LIMIT }
    }

    async fn run(&self, parts: Arc<Parts>, _stop: CancellationToken) -> Result<(), Failure> {
        let Some(cache) = &parts.cache else { return Ok(()) };
        for id in cache.queued().await?.iter().take(MOST_QUEUED) {
            cache.fetch_soon(&parts.images, id);
        }
        Ok(())
    }
}

/// Writes down what the cache of this worker has done, for who asks about all workers of the host.
pub(super) struct Totals;

impl Job<Parts> for Totals {
    const NAME: &'static str = "counters of the image cache";

    fn schedule(&self, parts: &Parts) -> Schedule {
        let period = parts.cache.as_ref().map(|_| Duration::from_secs(10));
        Schedule { period, after_reload: false, limit: Duration::from_secs(60) }
    }

    async fn run(&self, parts: Arc<Parts>, _stop: CancellationToken) -> Result<(), Failure> {
        match &parts.cache {
            Some(cache) => Ok(cache.write_totals().await?),
            None => Ok(()),
        }
    }
}
