//! Answers of other services: their heads, and bodies that are read up to a bound or as a stream.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, StatusCode};
use reqwest::Response;

use super::error::{RequestError, TransportError};

/// The head of an answer, and the body that follows.
#[derive(Debug)]
pub(crate) struct Answer(Response);

impl Answer {
    pub(super) fn new(response: Response) -> Self {
        Self(response)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The whole body.
    ///
    /// # Errors
    /// It has more than `limit` bytes, or does not come in time.
    pub(crate) async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.0.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(RequestError::Size { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The body piece by piece; one that ends too early is an error.
    pub(crate) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        self.0.bytes_stream().map_err(|error| io::Error::other(TransportError::from(error)))
    }
}
