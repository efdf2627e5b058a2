//! Single tags. Each is added or taken by itself, so that two requests for different tags both count.

use super::Error;
use super::images::Images;
use super::model::Image;
use super::save::check_owner;
use super::text::check_plane;
use super::visibility::Viewer;
use crate::db::images as rows;
use crate::db::model::ImageUpdate;
use crate::db::{DbError, tags};
use crate::notifications::Change;

impl Images {
    /// Gives the image a tag; it is no error if it has it.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Invalid`] for text that not every database can hold, [`Error::Forbidden`] for a viewer
    /// who does not own the image, [`Error::NotFound`].
    pub async fn add_tag(&self, viewer: &Viewer, image: &Image, tag: &str) -> Result<(), Error> {
        let is_new = !has_tag(image, tag);
        self.options.limits.check_tags(image.tags.len() + usize::from(is_new))?;
        check_plane(tag, || "Param values can't contain 4 byte unicode.".to_owned())?;
        self.touch(viewer, image).await?;
        tags::create(&self.db, &image.id, tag).await.map_err(|error| in_words_of_image(error, image))?;
        self.announce(image, Change::Updated);
        Ok(())
    }

    /// Takes a tag from the image. False if it does not have it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a viewer who does not own the image, [`Error::NotFound`].
    pub async fn remove_tag(&self, viewer: &Viewer, image: &Image, tag: &str) -> Result<bool, Error> {
        if !has_tag(image, tag) {
            return Ok(false);
        }
        self.touch(viewer, image).await?;
        match tags::delete(&self.db, &image.id, tag).await {
            Ok(()) => {
                self.announce(image, Change::Updated);
                Ok(true)
            }
            // Another request was faster.
            Err(DbError::NotFound { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// A change of the tags is a change of the image, which its time tells.
    async fn touch(&self, viewer: &Viewer, image: &Image) -> Result<(), Error> {
        check_owner(viewer, image)?;
        let updated = rows::update(&self.db, &image.id, ImageUpdate::default(), None).await;
        updated.map(drop).map_err(|error| in_words_of_image(error, image))
    }
}

fn has_tag(image: &Image, tag: &str) -> bool {
    image.tags.iter().any(|present| present == tag)
}

fn in_words_of_image(error: DbError, image: &Image) -> Error {
    match error {
        DbError::NotFound { .. } => Error::NotFound(image.id.clone()),
        other => other.into(),
    }
}
