//! Where the data of an import comes from.

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::request::Method;
use super::web::{FetchError, Web};
use crate::image::{Images, Plan};
use crate::store::StoreError;

/// Data that is ready to be read.
pub(super) struct Source {
    /// Bytes that are to come, where that is known.
    pub(super) size: Option<u64>,
    pub(super) data: BoxStream<'static, std::io::Result<Bytes>>,
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
}

/// Opens the data that a method means.
///
/// # Errors
/// Why there is none.
pub(super) async fn open(images: &Images, web: &Web, plan: &Plan, method: &Method) -> Result<Source, SourceError> {
    let (opened, missing) = match method {
        Method::WebDownload { uri } => return Ok(web.open(uri.as_deref().unwrap_or_default()).await?),
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
    Ok(Source { size, data: reader.into_stream() })
}
