//! Reading Keystone's answers, of bounded size.

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::error::KeystoneError;
use super::outgoing::{Answer, RequestError};

/// A catalog of hundreds of endpoints stays far below.
const LIMIT: usize = 8 << 20;

/// The body, which must be JSON of the expected form; and its length, as a measure of what it will weigh in memory.
pub(super) async fn json<T: DeserializeOwned>(answer: Answer, what: &'static str) -> Result<(T, usize), KeystoneError> {
    let body = answer.bytes(LIMIT).await.map_err(|error| match error {
        RequestError::Size { limit } => KeystoneError::Size { what, limit },
        error => error.into(),
    })?;
    let value = serde_json::from_slice(&body).map_err(|source| KeystoneError::Answer { what, source })?;
    Ok((value, body.len()))
}

/// Passes a good answer on.
pub(super) fn successful(answer: Answer, what: &'static str) -> Result<Answer, KeystoneError> {
    match answer.status() {
        status if status.is_success() || status == StatusCode::MULTIPLE_CHOICES => Ok(answer),
        status => Err(KeystoneError::Status { what, status }),
    }
}
