//! Deleting an image and its data.

use std::sync::Arc;

use super::Error;
use super::images::{Images, location_ref, store_context};
use super::intent_log::{Intent, Token};
use super::model::{Image, stays_refused};
use super::remove::is_for_recovery;
use super::status::Status;
use crate::db::DbError;
use crate::db::images as rows;
use crate::db::model::LocationRecord;
use crate::identity::Context;
use crate::notifications::Change;
use crate::store::StoreContext;

/// How often an image is looked at whose status or locations change while it is deleted.
const ATTEMPTS: u32 = 5;

impl Images {
    /// Deletes the image. With `delayed_delete` its data stays for the scrubber.
    ///
    /// `key`: the id of a key that goes with the image, whether data stays or not: last of all, as an image that is not deleted could not
    /// be read without its key. Upstream deletes it before the row, so that it is lost for an image whose deletion then fails.
    ///
    /// The row goes first: from then on nobody finds the image, and the intent log lets recovery finish what a crash cut short. So
    /// the stores are asked before whether they would refuse; and when one refuses all the same, the row comes back.
    ///
    /// # Errors
    /// [`Error::Protected`], [`Error::Transition`], [`Error::NotFound`] if somebody else was first, [`Error::Conflict`] if others
    /// change its locations all the time, [`Error::Store`] if the data is in use or cannot be removed.
    pub async fn delete(&self, caller: Arc<Context>, image: Image, key: Option<String>) -> Result<(), Error> {
        let images = self.clone();
        let work = self.tasks.spawn(async move {
            images.delete_to_the_end(&caller, &image).await?;
            if matches!(image.status, Status::Queued | Status::Uploading | Status::Importing) {
                // What stays, the log names, and the sweep of the staging area removes later.
                let _ = images.remove_staged(&StoreContext::default(), &image.id).await;
            }
            images.announce(&image, Change::Deleted);
            if let (Some(keys), Some(key)) = (&images.keys, key) {
                keys.delete_with_image(&caller, &image.id, &key).await;
            }
            Ok(())
        });
        work.await.map_err(Error::Interrupted)?
    }

    async fn delete_to_the_end(&self, caller: &Arc<Context>, image: &Image) -> Result<(), Error> {
        if image.protected {
            return Err(Error::Protected(image.id.clone()));
        }
        let (mut image, mut attempts) = (image.clone(), 1);
        loop {
            // Just as the database has them, and all of them: whatever lies at one is to go. What an import still writes, it removes
            // itself when it finds the image gone.
            let mut record =
                rows::get(&self.db, &image.id, false).await?.ok_or_else(|| Error::NotFound(image.id.clone()))?;
            record.locations.retain(|location| !location.is_placeholder());
            match self.delete_with_locations(caller, &image, &record.locations).await {
                Err(Error::Db(DbError::LocationsChanged { .. })) if attempts < ATTEMPTS => attempts += 1,
                // An upload has begun or ended meanwhile. The image is there, so nobody may be told that it is not.
                Err(Error::Raced { current, .. }) if attempts < ATTEMPTS => {
                    image.status = current;
                    attempts += 1;
                }
                Err(Error::Db(error @ DbError::LocationsChanged { .. })) => {
                    return Err(Error::Conflict(error.to_string()));
                }
                outcome => return outcome,
            }
        }
    }

    /// Deletes an image whose locations were read as these.
    async fn delete_with_locations(
        &self,
        caller: &Arc<Context>,
        image: &Image,
        read: &[LocationRecord],
    ) -> Result<(), Error> {
        let mut locations = read.to_vec();
        self.settle(&mut locations);
        let is_refused = |location: &LocationRecord| image.status.awaits_data() && stays_refused(&location.url);
        if locations.iter().all(is_refused) {
            // There is nothing to remove. Whoever writes data just now stays its owner, and removes it when it finds the image gone.
            return self.delete_row(image, Status::Deleted, read).await;
        }
        if self.options.delayed_delete {
            return self.delete_row(image, Status::PendingDelete, read).await;
        }
        image.status.transition(Status::Deleted)?;
        let context = store_context(image, Some(caller));
        for location in &locations {
            self.stores.check_unused(&context, location_ref(location)).await?;
        }
        let places = locations.iter().map(|location| location.url.clone()).collect();
        let token = Token::new();
        let entry = self.begin(Intent::Delete, &image.id, &token, places, self.erase(image, read, &token)).await?;
        let (is_settled, outcome) = self.remove_data(&context, image, &locations).await;
        // Where data is left, or the row not back, recovery looks.
        if is_settled {
            self.finish_entry(entry).await;
        }
        outcome
    }

    /// Removes the data of an image whose row is deleted, or brings the row back where a store refuses. False: something is left for
    /// later.
    async fn remove_data(
        &self,
        context: &StoreContext,
        image: &Image,
        locations: &[LocationRecord],
    ) -> (bool, Result<(), Error>) {
        let mut removed = Vec::new();
        let mut is_all = true;
        for location in locations {
            match self.remove_location(context, &image.id, location).await {
                Ok(true) => removed.extend(location.id),
                Ok(false) => {}
                Err(error) if is_for_recovery(&error) => is_all = false,
                Err(refused) => {
                    let (status, updated_at) = (image.status.as_str(), image.updated_at);
                    return match rows::restore(&self.db, &image.id, status, updated_at, removed).await {
                        Ok(()) => (true, Err(refused.into())),
                        Err(error) => (false, Err(error.into())),
                    };
                }
            }
        }
        (is_all, Ok(()))
    }

    async fn delete_row(&self, image: &Image, to: Status, read: &[LocationRecord]) -> Result<(), Error> {
        image.status.transition(to)?;
        let from = [image.status.as_str()];
        let deleted = match to {
            // The scrubber finds the locations that are there by then, whichever they are.
            Status::PendingDelete => rows::delete(&self.db, &image.id, to.as_str(), Some(&from)).await,
            _ => rows::delete_without_data(&self.db, &image.id, to.as_str(), &from, read).await,
        };
        deleted.map_err(|error| Error::of_change(&image.id, error))
    }
}
