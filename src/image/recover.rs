//! Cleaning up after workers that died in the middle of an upload or a deletion.

use std::error::Error as StdError;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::Error;
use super::images::Images;
use super::journal::Leftover;
use super::model::Image;
use super::status::Status;
use crate::db::images as rows;
use crate::store::{Place, StoreContext, StoreError};

impl Images {
    /// Takes up what dead workers of this machine left in the journal. Called at start and from time to time; several
    /// workers may do so at once.
    ///
    /// # Errors
    /// [`Error::Journal`] if the journal cannot be read. What cannot be cleaned up now stays for the next time.
    pub async fn recover(&self) -> Result<(), Error> {
        let journal = Arc::clone(&self.journal);
        let found = spawn_blocking(move || journal.leftovers()).await.map_err(Error::Interrupted)?;
        for leftover in found.map_err(Error::Journal)? {
            let image_id = leftover.image_id.clone();
            match self.clean_up(&leftover).await {
                Ok(()) => self.journal_finish(leftover.entry).await,
                Err(error) => {
                    warn!(image_id, error = &error as &dyn StdError, "cannot clean up after a dead worker yet");
                }
            }
        }
        for entry in self.stores.all() {
            entry.store.sweep().await;
        }
        Ok(())
    }

    /// Removes the objects that no row speaks of, then puts an image that was being saved back to `queued`.
    async fn clean_up(&self, leftover: &Leftover) -> Result<(), Error> {
        let record = rows::get(&self.db, &leftover.image_id, false).await?;
        let image = record.map(|record| Image::from_record(record, None)).transpose()?;
        let is_known = |url: &str| image.iter().flat_map(|image| &image.locations).any(|known| known.url == url);
        for url in leftover.places.iter().filter(|url| !is_known(url)) {
            let context = StoreContext::new(image.as_ref().and_then(|image| image.owner.as_deref()), None);
            match self.stores.delete(&context, Place { url, store: self.stores.id_for_url(url) }).await {
                Ok(()) => info!(image_id = leftover.image_id, "data of a dead worker's upload or deletion removed"),
                // What cannot be deleted from such a store will never be.
                Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match image {
            Some(image) if image.status == Status::Saving => {
                if !self.release(&image).await {
                    return Err(Error::Busy(image.id));
                }
                info!(image_id = image.id, "image of a dead worker's upload is queued again");
            }
            _ => {}
        }
        Ok(())
    }
}
