//! Reading Keystone's answers, of bounded size.

use http::StatusCode;
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::error::KeystoneError;
use super::outgoing::TransportError;

/// A catalog of hundreds of endpoints stays far below.
const LIMIT: usize = 8 << 20;

/// The body, which must be JSON of the expected form; and its length, as a measure of what it will weigh in memory.
pub(super) async fn json<T: DeserializeOwned>(
    mut response: Response,
    what: &'static str,
) -> Result<(T, usize), KeystoneError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(TransportError::from)? {
        if body.len() + chunk.len() > LIMIT {
            return Err(KeystoneError::Size { what, limit: LIMIT });
        }
        body.extend_from_slice(&chunk);
    }
    let value = serde_json::from_slice(&body).map_err(|source| KeystoneError::Answer { what, source })?;
    Ok((value, body.len()))
}

/// Passes a good answer on.
pub(super) fn successful(response: Response, what: &'static str) -> Result<Response, KeystoneError> {
    match response.status() {
        status if status.is_success() || status == StatusCode::MULTIPLE_CHOICES => Ok(response),
        status => Err(KeystoneError::Status { what, status }),
    }
}
