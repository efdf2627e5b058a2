//! How much data an upload may bring, and locations may name: the cap on one image and what is left of the owner's storage.

use super::Error;
use super::images::Images;
use crate::db::images as rows;
use crate::ingest::Allowance;
use crate::schema::python::number_or_none;

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

/// Whether data that has come may become the image's. It is noted before others are looked at, so that of uploads and imports which end at
/// the same time at least the later one sees the others: together they do not go over the limit.
///
/// # Errors
/// [`Error::StorageQuota`]
pub(super) async fn check_arrived(images: &Images, id: &str, project: Option<&str>, size: u64) -> Result<(), Error> {
    let Some(quota) = images.options.limits.owner_storage else { return Ok(()) };
    // With limits kept by Keystone, it is noted already, with all stores that an import writes to.
    if images.unified_limits.is_none() {
        rows::announce_size(&images.db, id, size).await?;
    }
    let used = async |measure| rows::used(&images.db, &[project.map(str::to_owned)], measure).await;
    let but = Some(id.to_owned());
    // What is in flight first: whoever is no longer in flight then is among what is stored.
    let in_flight = used(rows::Measure::InFlight { but: but.clone() }).await?;
    // What placeholders of ours stand for is in flight.
    let stored = used(rows::Measure::Stored { but, placeholders: false }).await?;
    let left = quota.saturating_sub(stored).saturating_sub(in_flight);
    if i128::from(size) > i128::from(left) {
        return Err(over(Some(size.into()), left));
    }
    check_storage(images, Some(id), project, Some(size.into())).await.map(drop)
}

/// How much data may come for an image. `announced`: bytes that are said to come.
///
/// # Errors
/// As [`check_storage`].
pub(super) async fn allowance(
    images: &Images,
    id: &str,
    project: Option<&str>,
    announced: Option<i128>,
) -> Result<Allowance, Error> {
    let left = check_storage(images, Some(id), project, announced).await?;
    // Data of a size that was not announced is judged at its end.
    let remaining = left.filter(|_| announced.is_some()).and_then(|left| u64::try_from(left).ok());
    Ok(Allowance { most: images.options.limits.image_size, remaining })
}

fn over(size: Option<i128>, remaining: i64) -> Error {
    Error::StorageQuota { size: number_or_none(size).into_owned(), remaining }
}
