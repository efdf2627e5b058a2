//! Something that many tasks need and one of them fetches.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;

use super::error::KeystoneError;

/// Lets one task at a time try. Those who wait meanwhile take what it got, or share its failure: a Keystone that answers late, or
/// not at all, keeps nobody waiting for longer than one attempt.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    /// The last failure and when it happened.
    failure: Mutex<Option<(Instant, Arc<KeystoneError>)>>,
}

impl SingleFlight {
    /// What `known` has, else what `fetch` gets; `fetch` keeps it where `known` finds it.
    ///
    /// # Errors
    /// That of `fetch`, or of another task's that ended while this one waited.
    pub(super) async fn get<T>(
        &self,
        known: impl Fn() -> Option<T>,
        fetch: impl Future<Output = Result<T, Arc<KeystoneError>>>,
    ) -> Result<T, Arc<KeystoneError>> {
        if let Some(known) = known() {
            return Ok(known);
        }
        let asked = Instant::now();
        let mut failure = self.failure.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        if let Some((when, shared)) = failure.as_ref().filter(|(when, _)| *when >= asked) {
            tracing::debug!(ago = ?when.elapsed(), "sharing the failure of another request to Keystone");
            return Err(shared.clone());
        }
        let fetched = fetch.await;
        *failure = fetched.as_ref().err().map(|error| (Instant::now(), error.clone()));
        fetched
    }
}
