//! What can go wrong in the domain. The API room gives each its status code; texts that clients see are upstream's.

use std::sync::Arc;

use super::status::{Status, TransitionRefused};
use crate::db::DbError;
use crate::ingest::{FailedStores, IngestError};
use crate::keystone::KeystoneError;
use crate::schema::python::Excerpt;
use crate::store::StoreError;

/// An operation on images failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such image, or none that the viewer can see.
    #[error("No image found with ID {0}")]
    NotFound(String),
    /// The viewer would lose sight of the image, or is not its owner.
    #[error("{0}")]
    Forbidden(String),
    /// A property that only the service sets.
    #[error("Attribute '{}' is read-only.", Excerpt(.0))]
    ReadOnly(String),
    /// A name that is kept for the service.
    #[error("Attribute '{}' is reserved.", Excerpt(.0))]
    Reserved(String),
    /// The image may not be deleted.
    #[error("Image {0} is protected and cannot be deleted.")]
    Protected(String),
    /// The id is taken, be it by a deleted image.
    #[error("Image ID {0} already exists!")]
    Duplicate(String),
    /// The project is not among those with which the image is shared, or the viewer may not know.
    #[error("{member} not found in the member list of the image {image}.")]
    MemberMissing { image: String, member: String },
    /// The image is shared with the project already.
    #[error("Member {member} is duplicated for image {image}")]
    MemberPresent { image: String, member: String },
    /// A field's value does not do.
    #[error("{0}")]
    Invalid(String),
    /// A change of a property that is not there.
    #[error("Property {} does not exist.", Excerpt(.0))]
    PropertyMissing(String),
    /// An addition, in the older patch format, of a property that is there.
    #[error("Property {} already present.", Excerpt(.0))]
    PropertyPresent(String),
    /// A field that every image has.
    #[error("Property {} may not be removed.", Excerpt(.0))]
    PropertyFixed(String),
    /// Only administrators give images away.
    #[error("Owner can't be updated by non admin.")]
    OwnerFixed,
    /// Locations may not be changed so.
    #[error("{0}")]
    LocationsFixed(String),
    /// An image that has a location keeps one.
    #[error("{0}")]
    LocationsEmptied(String),
    /// None of the image's locations is in that store.
    #[error("Image {image} is not stored in store {store}.")]
    NotInStore { image: String, store: String },
    /// The image is in no state for this.
    #[error("{0}")]
    Conflict(String),
    /// Data shall come, but nothing says what it is.
    #[error("{}", missing_formats(.0))]
    MissingFormats(Vec<&'static str>),
    #[error(transparent)]
    Transition(#[from] TransitionRefused),
    /// Somebody else changed the image's status first.
    #[error("Image {id} was changed by another request, it is {current} now")]
    Raced { id: String, current: Status },
    /// The image was deleted while its data was written.
    #[error(
        "Image {0} could not be found after upload. The image may have been deleted during the upload, cleaning up the \
         chunks uploaded."
    )]
    Gone(String),
    /// One of the limits on the number of things that hang on an image.
    #[error(
        "The limit has been exceeded on the number of allowed image {what}. Attempted: {attempted}, Maximum: {maximum}"
    )]
    TooMany { what: &'static str, attempted: usize, maximum: i64 },
    /// `user_storage_quota`; sizes in bytes.
    #[error("The size of the data {size} will exceed the limit. {remaining} bytes remaining.")]
    StorageQuota { size: String, remaining: i64 },
    /// `image_size_cap`.
    #[error("The provided image is too large.")]
    TooLarge,
    /// A limit that Keystone keeps, in the resource's unit.
    #[error(
        "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota threshold \
         was breached.\n\nThe response body:\nProject {project} is over a limit for [Resource {resource} is over limit of \
         {limit} due to current usage {usage} and delta {delta}]"
    )]
    OverLimit { project: String, resource: &'static str, limit: i64, usage: i64, delta: i64 },
    /// Keystone does not tell the limits.
    #[error("the limits of the project are not known: {0}")]
    Limits(#[source] Arc<KeystoneError>),
    /// The image's properties ask for the verification of a signature, and nothing here verifies.
    #[error(
        "Signature verification failed for image {0}: this server does not verify signatures yet. Remove a property whose name \
         begins with img_signature to upload data without verification."
    )]
    SignatureUnverified(String),
    /// The runtime stopped in the middle of the work.
    #[error("the work was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
    /// A digest or size that was set before differs from the data.
    #[error("Image upload problem: {0} of uploaded data is different from current value set on the image.")]
    DataDiffers(&'static str),
    /// The data is not what the image says, or dangerous.
    #[error("{0}")]
    BadData(String),
    /// The location is refused.
    #[error("Invalid location")]
    BadLocation,
    /// The location's store cannot make sense of its URL, or does not reach what it names.
    #[error("The Store URI was malformed.")]
    MalformedLocation,
    /// The location is there already.
    #[error("The location {0} already exists")]
    DuplicateLocation(String),
    /// The client went away or stalled while it sent the data.
    #[error("the client's data ended early")]
    Client(#[source] std::io::Error),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The intent log cannot be written.
    #[error("the intent log: {0}")]
    IntentLog(#[source] std::io::Error),
}

impl Error {
    /// What a change of an image's row that asks for a status has failed with.
    pub(super) fn of_change(id: &str, error: DbError) -> Self {
        match error {
            DbError::StateConflict { current, .. } => {
                Self::Raced { id: id.to_owned(), current: current.as_str().into() }
            }
            DbError::NotFound { .. } => Self::NotFound(id.to_owned()),
            other => other.into(),
        }
    }
}

impl From<IngestError> for Error {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Source(cause) => Self::Client(cause),
            IngestError::TooLarge { .. } => Self::TooLarge,
            IngestError::OverQuota { size, remaining } => {
                Self::StorageQuota { size: size.to_string(), remaining: i64::try_from(remaining).unwrap_or(i64::MAX) }
            }
            IngestError::Store(error) | IngestError::Stores(FailedStores { error, .. }) => Self::Store(error),
        }
    }
}

fn missing_formats(names: &[&'static str]) -> String {
    match names {
        [one] => format!("Property {one} must be set prior to saving data."),
        several => format!("Properties {} must be set prior to saving data.", several.join(", ")),
    }
}
