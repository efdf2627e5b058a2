//! The one place where errors become errors of HTTP: first those of the rooms below, with the general rule, which `?` in a handler
//! applies, then for single operations what upstream answers otherwise there. What routes refuse by themselves is a [`Refusal`].

mod metadefs;
mod refusals;

use std::io::{self, ErrorKind};
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use http::{HeaderMap, StatusCode};

pub(super) use self::metadefs::{of_dissociation, of_namespace, of_shown_namespace, of_visible_namespace};
pub(super) use self::refusals::Refusal;
use super::Error;
use super::query::QueryError;
use crate::cache;
use crate::db::DbError;
use crate::image::{self, patch::PatchError};
use crate::keystone::KeystoneError;
use crate::keystone::outgoing::RequestError;
use crate::policy::PolicyError;
use crate::schema::Mismatch;
use crate::store::StoreError;
use crate::task;

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Self {
        use image::Error as Domain;
        let text = error.to_string();
        match &error {
            Domain::NotFound(_) | Domain::MemberMissing { .. } | Domain::NotInStore { .. } => {
                Self::explanation(StatusCode::NOT_FOUND, text)
            }
            Domain::Forbidden(_) | Domain::ReadOnly(_) | Domain::Reserved(_) | Domain::Protected(_) => {
                Self::explanation(StatusCode::FORBIDDEN, text)
            }
            Domain::LocationsFixed(_) | Domain::Db(DbError::Reserved(_)) => {
                Self::explanation(StatusCode::FORBIDDEN, text)
            }
            Domain::PropertyFixed(_) | Domain::OwnerFixed | Domain::LocationsEmptied(_) => {
                Self::detail(StatusCode::FORBIDDEN, text)
            }
            Domain::PropertyMissing(_) | Domain::PropertyPresent(_) => Self::detail(StatusCode::CONFLICT, text),
            Domain::Duplicate(_)
            | Domain::MemberPresent { .. }
            | Domain::Raced { .. }
            | Domain::Conflict(_)
            | Domain::Db(DbError::Duplicate { .. } | DbError::InTheWay(_)) => {
                Self::explanation(StatusCode::CONFLICT, text)
            }
            Domain::Invalid(_)
            | Domain::MissingFormats(_)
            | Domain::Transition(_)
            | Domain::DataDiffers(_)
            | Domain::BadLocation
            | Domain::MalformedLocation
            | Domain::DuplicateLocation(_)
            | Domain::SignatureUnverified(_) => Self::explanation(StatusCode::BAD_REQUEST, text),
            Domain::BadData(_) => Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text),
            Domain::Gone(_) => Self::explanation(StatusCode::GONE, text),
            Domain::TooMany { .. } | Domain::TooLarge | Domain::OverLimit { .. } => {
                Self::explanation(StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            Domain::StorageQuota { .. } => Self::explanation(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("Denying attempt to upload image because it exceeds the quota: {text}"),
            ),
            Domain::Db(database) if database.is_of_text() => Self::explanation(StatusCode::BAD_REQUEST, text),
            Domain::Db(database) if database.is_unavailable() => {
                Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error)
            }
            Domain::Limits(cause) if cause.is_away() => Self::from(Arc::clone(cause)),
            // The client is gone or has stalled: nobody reads the answer, but it is logged.
            Domain::Client(_) => Self::stock(StatusCode::BAD_REQUEST).because(error),
            // Nothing has been done, as the work could not be written down before; it may be later, or by another worker.
            Domain::IntentLog(cause) => {
                let is_full = matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                let status = if is_full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::SERVICE_UNAVAILABLE };
                Self::stock(status).because(error)
            }
            Domain::Store(store) if store.is_exhausted() => Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error),
            Domain::Interrupted(_) | Domain::Db(_) | Domain::Store(_) | Domain::Limits(_) => Self::internal(error),
        }
    }
}

impl From<task::Error> for Error {
    fn from(error: task::Error) -> Self {
        use task::Error as Domain;
        let text = error.to_string();
        match &error {
            Domain::NotFound(_) => Self::explanation(StatusCode::NOT_FOUND, text),
            Domain::MarkerMissing(_) | Domain::SortKey | Domain::Invalid(_) => Self::bad_request(text),
            Domain::Conflict(_) => Self::explanation(StatusCode::CONFLICT, text),
            // Where its data would go is not known, so that the task could not be begun.
            Domain::Image(image::Error::Store(store)) if store.is_away() => unavailable(text).because(error),
            Domain::Image(_) => match error {
                Domain::Image(error) => error.into(),
                other => Self::internal(other),
            },
            Domain::MarkerHidden(_) => Self::explanation(StatusCode::FORBIDDEN, text),
            Domain::Full => Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error),
            Domain::Db(database) if database.is_unavailable() => {
                Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error)
            }
            Domain::Db(database) if database.is_of_text() => Self::bad_request(text),
            Domain::Db(_) => Self::internal(error),
        }
    }
}

impl From<PatchError> for Error {
    fn from(error: PatchError) -> Self {
        let text = error.to_string();
        match error {
            PatchError::Forbidden(_) => Self::explanation(StatusCode::FORBIDDEN, text),
            PatchError::Invalid(_) => Self::bad_request(text),
        }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// A document that its schema refuses.
impl From<Mismatch> for Error {
    fn from(error: Mismatch) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// An answer that cannot be said.
impl From<InvalidHeaderValue> for Error {
    fn from(error: InvalidHeaderValue) -> Self {
        Self::internal(error)
    }
}

impl From<cache::Error> for Error {
    fn from(error: cache::Error) -> Self {
        if error.is_unavailable() {
            return Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error);
        }
        Self::internal(error)
    }
}

/// The policy itself cannot be asked.
impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        Self::internal(error)
    }
}

impl From<Arc<KeystoneError>> for Error {
    fn from(error: Arc<KeystoneError>) -> Self {
        let text = "The Keystone service is temporarily unavailable.";
        Self { cause: Some(error), ..Self::detail(StatusCode::SERVICE_UNAVAILABLE, text) }
    }
}

pub(super) fn of_list(error: image::Error) -> Error {
    match error {
        // A marker that is longer than ids are; upstream forgets to name it.
        image::Error::NotFound(marker) if marker.chars().count() > 36 => {
            Error::bad_request("Image with the given id %(image_id)s was not found")
        }
        image::Error::NotFound(_) => Error::bad_request(error.to_string()),
        other => other.into(),
    }
}

pub(super) fn of_upload(error: image::Error) -> Error {
    use image::Error as Domain;
    let text = error.to_string();
    match &error {
        Domain::Transition(_) => Error::explanation(StatusCode::CONFLICT, text),
        Domain::Raced { current, .. } => Error::explanation(
            StatusCode::CONFLICT,
            format!("Image status transition from {current} to saving is not allowed"),
        ),
        Domain::StorageQuota { .. } => too_large(format!("Image exceeds the storage quota: {text}")),
        Domain::TooLarge => too_large(format!("The incoming image is too large: {text}")),
        Domain::Store(store) => of_store_write(store).because(error),
        _ => error.into(),
    }
}

fn of_store_write(error: &StoreError) -> Error {
    let text = error.to_string();
    match error {
        StoreError::Full { .. } | StoreError::NoRoom { .. } => {
            too_large(format!("Image storage media is full: {text}"))
        }
        StoreError::WriteDenied { .. } => {
            unavailable(format!("Insufficient permissions on image storage media: {text}"))
        }
        StoreError::AddDisabled { .. } => {
            Error::explanation(StatusCode::GONE, "Error in store configuration. Adding images to store is disabled.")
        }
        StoreError::Timeout { .. } | StoreError::RemoteUnavailable { .. } => unavailable(text),
        StoreError::SizeMismatch { .. } | StoreError::SizeExceeded { .. } => Error::bad_request(text),
        StoreError::LeftBehind(cause) => of_store_write(cause),
        StoreError::Exhausted { .. } => Error::stock(StatusCode::SERVICE_UNAVAILABLE),
        _ => Error::stock(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Data that is not where a location says is no error but an empty answer; the handler looks at that first.
pub(super) fn of_download(error: image::Error) -> Error {
    let image::Error::Store(store) = &error else { return error.into() };
    let text = store.to_string();
    match store {
        StoreError::RemoteUnavailable { .. } | StoreError::Timeout { .. } => unavailable(text).because(error),
        StoreError::Unsupported { .. } => Error::bad_request(text),
        _ => error.into(),
    }
}

pub(super) fn of_delete(error: image::Error, id: &str) -> Error {
    match error {
        image::Error::NotFound(_) => {
            Error::explanation(StatusCode::NOT_FOUND, format!("Failed to find image {id} to delete"))
        }
        image::Error::Store(refused) => of_store_deletion(&refused, id).because(refused),
        other => other.into(),
    }
}

fn of_store_deletion(error: &StoreError, id: &str) -> Error {
    let text = error.to_string();
    match error {
        StoreError::DeleteDenied { .. } | StoreError::WriteDenied { .. } => {
            Error::explanation(StatusCode::FORBIDDEN, text)
        }
        StoreError::InUse { .. } => Error::explanation(
            StatusCode::CONFLICT,
            format!("Image {id} could not be deleted because it is in use: {text}"),
        ),
        StoreError::HasSnapshot { .. } => Error::explanation(StatusCode::CONFLICT, text),
        StoreError::Timeout { .. } => unavailable(format!(
            "Image {id} could not be deleted because the filesystem store operation timed out: {text}"
        )),
        StoreError::RemoteUnavailable { .. } => unavailable(text),
        StoreError::Exhausted { .. } => Error::stock(StatusCode::SERVICE_UNAVAILABLE),
        _ => Error::stock(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Of removing the data that one store holds.
pub(super) fn of_copy_removal(error: image::Error, id: &str) -> Error {
    match error {
        image::Error::NotFound(_) => Error::explanation(StatusCode::NOT_FOUND, format!("Failed to find image {id}")),
        image::Error::Store(refused) => of_store_copy_removal(&refused, id).because(refused),
        other => other.into(),
    }
}

fn of_store_copy_removal(error: &StoreError, id: &str) -> Error {
    let text = error.to_string();
    match error {
        StoreError::HasSnapshot { .. } => Error::explanation(StatusCode::CONFLICT, text),
        StoreError::InUse { .. } => Error::explanation(
            StatusCode::CONFLICT,
            format!("The data for Image {id} could not be deleted because it is in use: {text}"),
        ),
        StoreError::Timeout { .. } => unavailable(format!(
            "The data for Image {id} could not be deleted because the filesystem store operation timed out: {text}"
        )),
        StoreError::DeleteDenied { .. } | StoreError::WriteDenied { .. } | StoreError::RemoteUnavailable { .. } => {
            Error::explanation(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        StoreError::Exhausted { .. } => Error::stock(StatusCode::SERVICE_UNAVAILABLE),
        _ => Error::stock(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

pub(super) fn of_stage(error: image::Error) -> Error {
    use image::Error as Domain;
    match error {
        Domain::Raced { current, .. } => Error::explanation(
            StatusCode::CONFLICT,
            format!("Image status transition from {current} to uploading is not allowed"),
        ),
        other => of_upload(other),
    }
}

/// `action`: what is not allowed with tags, `update` or `delete`.
pub(super) fn of_tags(error: image::Error, id: &str, action: &str) -> Error {
    match error {
        image::Error::NotFound(_) => image_missing(id),
        image::Error::Forbidden(_) => tags_forbidden(id, action),
        image::Error::Invalid(_) => Error::bad_request(format!("Could not update image: {error}")),
        image::Error::TooMany { .. } => too_large(format!("Image tag limit exceeded for image {id}: {error}:")),
        other => other.into(),
    }
}

/// 403 in the words of the routes of tags.
pub(super) fn tags_forbidden(id: &str, action: &str) -> Error {
    Error::explanation(StatusCode::FORBIDDEN, format!("Not allowed to {action} tags for image {id}."))
}

/// Of the image whose tasks are listed: upstream's route says no more than the status.
pub(super) fn of_tasks(error: image::Error) -> Error {
    match error {
        image::Error::NotFound(_) => Error::stock(StatusCode::NOT_FOUND),
        other => other.into(),
    }
}

/// Of a request that another host was to answer, and did not.
pub(super) fn of_forwarding(error: RequestError) -> Error {
    let status = if error.is_broken_connection() { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    not_forwarded(status).because(error)
}

/// Of a request that another host has refused. Upstream passes on the status with its words and nothing of the document.
pub(super) fn of_forwarded(status: StatusCode) -> Error {
    Error::explanation(status, "")
}

/// A request that has come from another host already.
pub(super) fn of_forwarding_round() -> Error {
    not_forwarded(StatusCode::BAD_GATEWAY)
}

fn not_forwarded(status: StatusCode) -> Error {
    Error::detail(status, "Stage host is unavailable")
}

pub(super) fn of_members(error: image::Error, id: &str) -> Error {
    match error {
        image::Error::NotFound(_) => image_missing(id),
        image::Error::TooMany { .. } => too_large(format!("Image member limit exceeded for image {id}: {error}:")),
        other => other.into(),
    }
}

/// Of the body of a request, which did not come to its end.
pub(super) fn of_body(error: io::Error) -> Error {
    let status = match error.kind() {
        ErrorKind::TimedOut => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    };
    Error::stock(status).because(error)
}

/// A PATCH of another media type than these. `headers`: those of the request.
pub(super) fn of_patch_type(headers: &HeaderMap, media_types: &[&str]) -> Error {
    let allowed = media_types.join(", ");
    let mut error =
        Error::unsupported_media_type(headers, format!("Image PATCH expects Content-Type one of: {allowed}"));
    match HeaderValue::try_from(allowed) {
        Ok(allowed) => drop(error.headers.insert(ACCEPT_PATCH, allowed)),
        Err(unspeakable) => error = unspeakable.into(),
    }
    error
}

/// 404 in the words of the routes of members, tags and the cache.
pub(super) fn image_missing(id: &str) -> Error {
    Error::explanation(StatusCode::NOT_FOUND, format!("Image {id} not found."))
}

fn too_large(text: String) -> Error {
    Error::explanation(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn unavailable(text: String) -> Error {
    Error::explanation(StatusCode::SERVICE_UNAVAILABLE, text)
}

#[cfg(test)]
mod tests;
