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

pub(super) struct Recovery;

impl Job<Parts> for Recovery {
    const NAME: &'static str = "recovery";

    fn schedule(&self, _parts: &Parts) -> Schedule {
        Schedule {
            period: Some(Duration::from_secs(60)),
            // Another database has another journal, and a store that refused may have been mended.
            after_reload: true,
            // A store that does not answer must not be waited for longer.
            limit: Duration::from_secs(30 * 60),
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
