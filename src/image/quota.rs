//! How much data an upload may bring, and locations may name: the cap on one image and what is left of the owner's storage.

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
        let left = check_storage(images, Some(image_id), project.as_deref(), announced).await?;
        let remaining = left.filter(|_| announced.is_some()).and_then(|left| u64::try_from(left).ok());
        Ok(Self { image_size, project, remaining })
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
        check_storage(images, Some(image_id), self.project.as_deref(), Some(size.into())).await.map(drop)
    }
}

/// Whether a project may store that much more; where the size is not known, whether anything at all. Gives what is left
/// before, `None` where there is no limit. The data of `except`, an image's id, does not count.
///
/// # Errors
/// [`Error::StorageQuota`]
pub(super) async fn check_storage(
    images: &Images,
    except: Option<&str>,
    project: Option<&str>,
    size: Option<i128>,
) -> Result<Option<i64>, Error> {
    let Some(quota) = images.options.limits.owner_storage else { return Ok(None) };
    let used = rows::storage_used(&images.db, project, except).await?;
    let left = quota.saturating_sub(used);
    let fits = size.map_or(left > 0, |size| size <= i128::from(left));
    if fits { Ok(Some(left)) } else { Err(over(size, left)) }
}

fn over(size: Option<i128>, remaining: i64) -> Error {
    Error::StorageQuota { size: size.map_or_else(|| "None".to_owned(), |size| size.to_string()), remaining }
}
