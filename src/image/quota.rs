//! How much data an upload may bring: the cap on one image and what is left of the owner's storage.

use super::Error;
use super::images::Images;
use crate::db::images as rows;

/// The limits of one upload, in bytes.
pub(super) struct Allowance {
    image_size: u64,
    project: Option<String>,
    /// What the owner has left, where the size was announced: then the data is stopped as soon as it is over.
    remaining: Option<u64>,
}

impl Allowance {
    /// # Errors
    /// [`Error::StorageQuota`] if the announced size is over what is left, or nothing is left for a size that is not known.
    pub(super) async fn of(
        images: &Images,
        image_id: &str,
        project: Option<String>,
        announced: Option<i128>,
    ) -> Result<Self, Error> {
        let image_size = images.options.limits.image_size;
        let Some(left) = remaining_storage(images, image_id, project.as_deref()).await? else {
            return Ok(Self { image_size, project, remaining: None });
        };
        match announced {
            None if left <= 0 => Err(over(None, left)),
            None => Ok(Self { image_size, project, remaining: None }),
            Some(size) if size > i128::from(left) => Err(over(Some(size), left)),
            Some(_) => Ok(Self { image_size, project, remaining: u64::try_from(left).ok() }),
        }
    }

    /// # Errors
    /// [`Error::TooLarge`], [`Error::StorageQuota`]
    pub(super) fn check(&self, size: u64) -> Result<(), Error> {
        match self.remaining {
            Some(remaining) if size > remaining => {
                Err(over(Some(size.into()), i64::try_from(remaining).unwrap_or(i64::MAX)))
            }
            _ if size > self.image_size => Err(Error::TooLarge),
            _ => Ok(()),
        }
    }

    /// With the size now known, and whatever other uploads have taken meanwhile.
    ///
    /// # Errors
    /// [`Error::StorageQuota`]
    pub(super) async fn check_again(&self, images: &Images, image_id: &str, size: u64) -> Result<(), Error> {
        match remaining_storage(images, image_id, self.project.as_deref()).await? {
            Some(left) if i128::from(size) > i128::from(left) => Err(over(Some(size.into()), left)),
            _ => Ok(()),
        }
    }
}

/// What a project may still store; `None`: no limit. The image's own data does not count.
async fn remaining_storage(images: &Images, image_id: &str, project: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(quota) = images.options.limits.owner_storage else { return Ok(None) };
    let used = rows::storage_used(&images.db, project, Some(image_id)).await?;
    Ok(Some(quota.saturating_sub(used)))
}

fn over(size: Option<i128>, remaining: i64) -> Error {
    Error::StorageQuota { size: size.map_or_else(|| "None".to_owned(), |size| size.to_string()), remaining }
}
