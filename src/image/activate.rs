//! Barring an image's data from use, and giving it free again.

use super::Error;
use super::images::Images;
use super::model::Image;
use super::save::check_owner;
use super::status::Status;
use super::visibility::Viewer;
use crate::db::images as rows;
use crate::db::model::ImageUpdate;
use crate::notifications::Change;

impl Images {
    /// Makes an active image's data readable by administrators alone. One that is barred already stays so.
    ///
    /// # Errors
    /// [`Error::Forbidden`] in any other status or for a viewer who does not own the image, [`Error::Raced`],
    /// [`Error::NotFound`].
    pub async fn deactivate(&self, viewer: &Viewer, image: &Image) -> Result<(), Error> {
        self.switch(viewer, image, "deactivate", (Status::Active, Status::Deactivated)).await
    }

    /// The opposite of [`Images::deactivate`].
    ///
    /// # Errors
    /// As there.
    pub async fn reactivate(&self, viewer: &Viewer, image: &Image) -> Result<(), Error> {
        self.switch(viewer, image, "reactivate", (Status::Deactivated, Status::Active)).await
    }

    async fn switch(
        &self,
        viewer: &Viewer,
        image: &Image,
        action: &str,
        (from, to): (Status, Status),
    ) -> Result<(), Error> {
        if image.status == to {
            return Ok(());
        }
        if image.status != from {
            return Err(Error::Forbidden(format!("Not allowed to {action} image in status '{}'", image.status)));
        }
        check_owner(viewer, image)?;
        let update = ImageUpdate { status: Some(to.as_str().to_owned()), ..ImageUpdate::default() };
        match rows::update(&self.db, &image.id, update, Some(&[from.as_str()])).await {
            Ok(_) => {
                let is_barred = to == Status::Deactivated;
                self.announce(image, if is_barred { Change::Deactivated } else { Change::Reactivated });
                Ok(())
            }
            Err(error) => Err(Error::of_change(&image.id, error)),
        }
    }
}
