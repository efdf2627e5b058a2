//! Where the data of an import comes from.

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::remote::{Found, Remote, RemoteError};
use super::request::Method;
use super::web::{FetchError, Web};
use crate::image::{self, Images, Plan};
use crate::store::{Priority, StoreError};

/// Data that is ready to be read.
pub(in crate::task) struct Source {
    /// Bytes that are to come, where that is known.
    pub(in crate::task) size: Option<u64>,
    pub(in crate::task) data: BoxStream<'static, std::io::Result<Bytes>>,
}

/// There is no data.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("The staged data of the image is not on this host.")]
    NotStaged,
    #[error("Image not found in any configured store")]
    NotStored,
    #[error("Image size mismatch. Expected {expected} but got {actual}")]
    Size { expected: u64, actual: u64 },
    #[error("The image's data cannot be read: {0}")]
    Store(#[source] StoreError),
    #[error("The data cannot be downloaded: {0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Remote(#[from] RemoteError),
    /// What is copied with the data does not fit.
    #[error("{0}")]
    Image(image::Error),
}

impl SourceError {
    /// Whether it is the data that is wrong, so that another attempt would end the same way.
    pub(super) fn is_about_data(&self) -> bool {
        matches!(self, Self::NotStaged | Self::NotStored | Self::Size { .. })
    }
}

/// Opens the data that a method means. What comes along with it is in the plan then.
///
/// # Errors
/// Why there is none.
pub(super) async fn open(
    images: &Images,
    (web, remote): (&Web, &Remote),
    plan: &mut Plan,
    method: &Method,
) -> Result<Source, SourceError> {
    let (opened, missing) = match method {
        Method::WebDownload { uri } => return Ok(web.open(uri.as_deref().unwrap_or_default()).await?),
        Method::GlanceDownload(image) => {
            let found = remote.open(&plan.caller, image, &plan.task_id).await?;
            return take_over(images, plan, found);
        }
        Method::GlanceDirect => (images.open_for_import(plan).await, SourceError::NotStaged),
        Method::CopyImage => (images.open_for_copy(plan).await, SourceError::NotStored),
    };
    let reader = opened.map_err(|error| match error {
        StoreError::NotFound { .. } => missing,
        other => SourceError::Store(other),
    })?;
    let known = plan.image.size.and_then(|size| u64::try_from(size).ok());
    // What is there must be what the image says.
    if let (Some(expected), Some(actual)) = (known, reader.length())
        && expected != actual
    {
        return Err(SourceError::Size { expected, actual });
    }
    let size = reader.length().or(known);
    Ok(Source { size, data: reader.into_stream(Priority::Background) })
}

/// The image is to become what another Glance says of its own.
fn take_over(images: &Images, plan: &mut Plan, found: Found) -> Result<Source, SourceError> {
    images.check_added(&plan.image, &found.properties).map_err(SourceError::Image)?;
    // The data is judged as what it is there.
    plan.image.disk_format = Some(found.disk_format);
    plan.image.container_format = Some(found.container_format);
    plan.transformed.copied = found.properties;
    Ok(found.source)
}
