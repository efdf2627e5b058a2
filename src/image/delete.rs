//! Deleting an image and its data.

use super::Error;
use super::images::Images;
use super::model::Image;
use super::status::Status;
use crate::db::DbError;
use crate::db::images as rows;

impl Images {
    /// Deletes the image. With `delayed_delete` its data stays for the scrubber.
    ///
    /// The row goes first: from then on nobody finds the image, and the journal lets recovery finish what a crash cut short.
    ///
    /// # Errors
    /// [`Error::Protected`], [`Error::Transition`], [`Error::NotFound`] if somebody else was first.
    pub async fn delete(&self, image: Image) -> Result<(), Error> {
        let images = self.clone();
        let work = self.tasks.spawn(async move { images.delete_to_the_end(&image).await });
        work.await.map_err(Error::Interrupted)?
    }

    async fn delete_to_the_end(&self, image: &Image) -> Result<(), Error> {
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
        let places = image.locations.iter().map(|location| location.url.clone()).collect();
        let entry = self.journal_begin(&image.id, places).await?;
        let outcome = self.delete_row(image, Status::Deleted).await;
        if outcome.is_ok() {
            for location in &image.locations {
                self.remove_location(&image.id, location).await;
            }
        }
        self.journal_finish(entry).await;
        outcome
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
