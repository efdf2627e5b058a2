//! Deleting an image and its data.

use std::sync::Arc;

use super::Error;
use super::images::{Images, place, store_context};
use super::model::Image;
use super::status::Status;
use crate::db::DbError;
use crate::db::images as rows;
use crate::identity::Context;
use crate::store::StoreContext;

impl Images {
    /// Deletes the image. With `delayed_delete` its data stays for the scrubber.
    ///
    /// The row goes first: from then on nobody finds the image, and the journal lets recovery finish what a crash cut short. So
    /// the stores are asked before whether they would refuse; and when one refuses all the same, the row comes back.
    ///
    /// # Errors
    /// [`Error::Protected`], [`Error::Transition`], [`Error::NotFound`] if somebody else was first, [`Error::Store`] if the data
    /// is in use or cannot be removed.
    pub async fn delete(&self, caller: Arc<Context>, image: Image) -> Result<(), Error> {
        let images = self.clone();
        let work = self.tasks.spawn(async move { images.delete_to_the_end(&caller, &image).await });
        work.await.map_err(Error::Interrupted)?
    }

    async fn delete_to_the_end(&self, caller: &Arc<Context>, image: &Image) -> Result<(), Error> {
        if image.protected {
            return Err(Error::Protected(image.id.clone()));
        }
        if self.options.delayed_delete && !image.locations.is_empty() {
            return self.delete_row(image, Status::PendingDelete).await;
        }
        if image.locations.is_empty() {
            // Whoever writes data just now removes it when it finds the image gone.
            return self.delete_row(image, Status::Deleted).await;
        }
        image.status.transition(Status::Deleted)?;
        let context = store_context(image, Some(caller));
        for location in &image.locations {
            self.stores.check_unused(&context, place(location)).await?;
        }
        let places = image.locations.iter().map(|location| location.url.clone()).collect();
        let entry = self.journal_begin(&image.id, places).await?;
        let mut outcome = self.delete_row(image, Status::Deleted).await;
        let mut is_settled = true;
        if outcome.is_ok() {
            match self.remove_data(&context, image).await {
                Ok(all) => is_settled = all,
                Err(refused) => outcome = Err(refused),
            }
        }
        // Where the row is not known to be as it was, or data is left, recovery looks.
        if is_settled && !matches!(outcome, Err(Error::Db(_))) {
            self.journal_finish(entry).await;
        }
        outcome
    }

    /// False: something is left for later, as its storage cannot be reached.
    async fn remove_data(&self, context: &StoreContext, image: &Image) -> Result<bool, Error> {
        let mut removed = Vec::new();
        let mut is_all = true;
        for location in &image.locations {
            match self.remove_location(context, &image.id, location).await {
                Ok(true) => removed.extend(location.id),
                Ok(false) => {}
                Err(error) if error.is_interrupted() => is_all = false,
                Err(refused) => {
                    rows::restore(&self.db, &image.id, image.status.as_str(), image.updated_at, removed).await?;
                    return Err(refused.into());
                }
            }
        }
        Ok(is_all)
    }

    async fn delete_row(&self, image: &Image, to: Status) -> Result<(), Error> {
        image.status.transition(to)?;
        match rows::delete(&self.db, &image.id, to.as_str(), Some(&[image.status.as_str()])).await {
            Ok(_) => Ok(()),
            Err(DbError::NotFound { .. }) => Err(Error::NotFound(image.id.clone())),
            Err(DbError::StateConflict { current, .. }) => Err(Error::Raced { id: image.id.clone(), current }),
            Err(other) => Err(other.into()),
        }
    }
}
