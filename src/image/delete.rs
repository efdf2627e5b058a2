//! Deleting an image and its data.

use std::sync::Arc;

use super::Error;
use super::images::{Images, place, store_context};
use super::journal::{Intent, Token};
use super::model::Image;
use super::status::Status;
use super::transitions::Outcome;
use crate::db::DbError;
use crate::db::images as rows;
use crate::identity::Context;
use crate::notifications::Change;
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
        let work = self.tasks.spawn(async move {
            images.delete_to_the_end(&caller, &image).await?;
            images.announce(&image, Change::Deleted);
            Ok(())
        });
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
        let token = Token::new();
        let entry = self.journal_begin(Intent::Delete, &image.id, &token, places).await?;
        let (is_settled, outcome) = match self.erase(image, &token).await {
            Outcome::Done => self.remove_data(&context, image).await,
            Outcome::Refused(error) => (true, Err(error)),
            Outcome::Unknown(error) => (false, Err(error.into())),
        };
        // Where the row is not known to be as it was, or data is left, recovery looks.
        if is_settled {
            self.journal_finish(entry).await;
        }
        outcome
    }

    /// Removes the data of an image whose row is deleted, or brings the row back where a store refuses. False: something is left for
    /// later.
    async fn remove_data(&self, context: &StoreContext, image: &Image) -> (bool, Result<(), Error>) {
        let mut removed = Vec::new();
        let mut is_all = true;
        for location in &image.locations {
            match self.remove_location(context, &image.id, location).await {
                Ok(true) => removed.extend(location.id),
                Ok(false) => {}
                // Its storage cannot be reached.
                Err(error) if error.is_interrupted() => is_all = false,
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
