//! When to clean up after workers that died: at the start, after a reload, and from time to time, as another worker of this
//! machine may die at any moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::parts::Parts;
use super::shared::Shared;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(60);

/// How long the start waits for it. The rest is done while requests are served.
const AT_START: Duration = Duration::from_secs(5);

/// How long one look may take; a store that does not answer must not be waited for longer.
const EACH: Duration = Duration::from_secs(30 * 60);

/// Cleans up before the first request, as far as there is time.
pub(super) async fn first(parts: &Parts) {
    once(parts, AT_START).await;
}

/// Goes on until the worker stops. What is half done then is left to the next start.
pub(super) async fn run(shared: Arc<Shared>, soon: Arc<Notify>) {
    let looks = async {
        loop {
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = soon.notified() => {}
            }
            // Held for this look only: a reload exchanges it.
            let parts = shared.parts();
            once(&parts, EACH).await;
        }
    };
    tokio::select! {
        () = shared.drain.cancelled() => {}
        () = looks => {}
    }
}

async fn once(parts: &Parts, limit: Duration) {
    match timeout(limit, parts.images.recover()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot look for what dead workers left"),
        Err(_) => tracing::warn!("cleaning up after dead workers takes long, it goes on later"),
    }
}
