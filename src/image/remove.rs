//! Removing data from stores, and remembering it while it goes on.

use std::error::Error as StdError;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::Error;
use super::images::{Images, location_ref};
use super::intent_log::{Entry, Intent, Token};
use crate::db::model::LocationRecord;
use crate::store::{StoreContext, StoreError};

impl Images {
    /// Removes the data at a location. False: there was none, or the store is one from which nothing is ever removed.
    ///
    /// # Errors
    /// Why the data is still there. Where [`is_for_recovery`], it is to be removed later.
    pub(super) async fn remove_location(
        &self,
        context: &StoreContext,
        image_id: &str,
        location: &LocationRecord,
    ) -> Result<bool, StoreError> {
        match self.stores.delete(context, location_ref(location)).await {
            Ok(()) => info!(image_id, "image data removed"),
            Err(StoreError::NotFound { .. }) => {
                warn!(image_id, "image data to be removed was not in the store");
                return Ok(false);
            }
            Err(error @ StoreError::Unsupported { .. }) => {
                warn!(image_id, "image data stays: {error}");
                return if self.stores.is_read_only(location_ref(location)) { Ok(false) } else { Err(error) };
            }
            // A URL set by hand, or encrypted with another key: nobody could ever remove what it means.
            Err(error @ (StoreError::UnknownScheme { .. } | StoreError::BadLocation { .. })) => {
                error!(
                    image_id,
                    "image data that may be at a location stays, as the location's URL is of no use: {error}"
                );
                return Ok(false);
            }
            Err(error) => {
                error!(image_id, error = &error as &dyn StdError, "image data could not be removed");
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Removes data that was just written to these locations, as it is not wanted after all.
    ///
    /// # Errors
    /// `LeftBehind`; all locations have been tried.
    pub(super) async fn remove_locations(
        &self,
        context: &StoreContext,
        image_id: &str,
        locations: &[LocationRecord],
    ) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for location in locations {
            if let Err(error) = self.remove_location(context, image_id, location).await {
                outcome = Err(StoreError::LeftBehind(Box::new(error)));
            }
        }
        outcome
    }

    pub(super) async fn begin_entry(
        &self,
        intent: Intent,
        image_id: &str,
        token: &Token,
        places: Vec<String>,
    ) -> Result<Entry, Error> {
        let intent_log = Arc::clone(&self.intent_log);
        let (image_id, token) = (image_id.to_owned(), token.clone());
        let begun = spawn_blocking(move || intent_log.begin(intent, &image_id, &token, places)).await;
        begun.map_err(Error::Interrupted)?.map_err(Error::IntentLog)
    }

    pub(super) async fn finish_entry(&self, entry: Entry) {
        match spawn_blocking(move || entry.finish()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = &error as &dyn StdError, "cannot remove a file of the intent log"),
            Err(error) => warn!(error = &error as &dyn StdError, "a file of the intent log stays"),
        }
    }

    /// Leaves work to recovery. `reason`: what its task is to say.
    pub(super) async fn leave_entry(&self, entry: Entry, reason: String) {
        let intent_log = Arc::clone(&self.intent_log);
        let left = spawn_blocking(move || intent_log.leave(&entry, &reason)).await;
        let failed: &dyn StdError = match &left {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) => error,
        };
        warn!(error = failed, "the intent log does not say why work was left");
    }
}

/// Whether data stays for a reason that may pass: the storage cannot be reached, or the store is out of use while its options are
/// wrong. The client's request has succeeded then, as upstream has it, and recovery removes the data.
pub(super) fn is_for_recovery(error: &StoreError) -> bool {
    error.is_interrupted() || matches!(error, StoreError::Unsupported { .. })
}
