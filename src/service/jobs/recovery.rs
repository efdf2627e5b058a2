//! Cleaning up after workers that died: before the first request, and from time to time, as another worker of this machine may
//! die at any moment.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use super::supervisor::attempt;
use crate::service::parts::Parts;

/// How long the start waits for it. The rest is done while requests are served.
const AT_START: Duration = Duration::from_secs(5);

const PERIOD: Duration = Duration::from_secs(60);

/// How long a run may wait for stores. Each run begins by renewing the entries of workers that live, so this and the longest pause
/// after a failure together must stay below [`FOREIGN_AGE`](crate::image::FOREIGN_AGE): else other hosts take these
/// workers for dead.
const LIMIT: Duration = Duration::from_secs(5 * 60);

pub(super) struct Recovery;

impl Job<Parts> for Recovery {
    const NAME: &'static str = "recovery";

    fn schedule(&self, _parts: &Parts) -> Schedule {
        Schedule {
            period: Some(PERIOD),
            // Another database has another intent log, and a store that refused may have been mended.
            after_reload: true,
            limit: LIMIT,
        }
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            recovered = parts.images.recover() => Ok(recovered?),
            // What is half done is left to the next start.
            () = stop.cancelled() => Ok(()),
        }
    }
}

/// Cleans up before the first request, as far as there is time.
pub(in crate::service) async fn recover_before_serving(parts: &Parts) {
    let recovering = async { Ok(parts.images.recover().await?) };
    if let Err(error) = attempt(AT_START, recovering).await {
        tracing::warn!(%error, "cleaning up after workers that died is not finished; it goes on while requests are served");
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::{LONGEST_RETRY, pause, spread};
    use super::*;
    use crate::image::FOREIGN_AGE;

    #[test]
    fn entries_are_renewed_in_time_while_stores_hang() {
        for failures in 0..20 {
            let longest = LIMIT + spread(pause(Some(PERIOD), failures, LONGEST_RETRY).unwrap(), 1.0);
            assert!(longest + PERIOD < FOREIGN_AGE, "after {failures} failures: {longest:?}");
        }
    }
}
