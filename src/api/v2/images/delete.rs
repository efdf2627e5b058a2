//! `DELETE /v2/images/{id}`

use std::sync::Arc;

use http::StatusCode;

use crate::api::policy::viewer;
use crate::api::{Api, Call, Error, Response, reply};
use crate::image;
use crate::store::StoreError;

/// Deletes the image and its data, or with `delayed_delete` leaves the data to the scrubber.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = api.images.get(&viewer(call.context), id).await.map_err(|error| in_words_of_delete(error, id))?;
    call.gate.enforce_on_own(call.rule, &found).await?;
    api.images.delete(Arc::clone(call.context), found).await.map_err(|error| in_words_of_delete(error, id))?;
    Ok(reply::no_content())
}

fn in_words_of_delete(error: image::Error, id: &str) -> Error {
    match error {
        image::Error::NotFound(_) | image::Error::Raced { .. } => {
            Error::explanation(StatusCode::NOT_FOUND, format!("Failed to find image {id} to delete"))
        }
        image::Error::Transition(refused) => Error::explanation(StatusCode::BAD_REQUEST, refused.to_string()),
        image::Error::Store(refused) => of_store(refused, id),
        other => other.into(),
    }
}

fn of_store(error: StoreError, id: &str) -> Error {
    let (status, text) = match &error {
        StoreError::DeleteDenied { .. } | StoreError::WriteDenied { .. } => (StatusCode::FORBIDDEN, error.to_string()),
        StoreError::InUse { .. } => {
            (StatusCode::CONFLICT, format!("Image {id} could not be deleted because it is in use: {error}"))
        }
        StoreError::HasSnapshot { .. } => (StatusCode::CONFLICT, error.to_string()),
        StoreError::Timeout { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Image {id} could not be deleted because the filesystem store operation timed out: {error}"),
        ),
        StoreError::RemoteUnavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        _ => return Error::internal(error),
    };
    Error::explanation(status, text).because(error)
}
