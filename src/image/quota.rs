//! How much data an upload may bring, and locations may name: the cap on one image and what is left of the owner's storage.

use super::Error;
use super::images::Images;
use crate::db::images as rows;

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
    let measure = rows::Measure::Stored { but: except.map(str::to_owned), placeholders: true };
    let used = rows::used(&images.db, &[project.map(str::to_owned)], measure).await?;
    let left = quota.saturating_sub(used);
    let fits = size.map_or(left > 0, |size| size <= i128::from(left));
    if fits { Ok(Some(left)) } else { Err(over(size, left)) }
}

fn over(size: Option<i128>, remaining: i64) -> Error {
    Error::StorageQuota { size: size.map_or_else(|| "None".to_owned(), |size| size.to_string()), remaining }
}
