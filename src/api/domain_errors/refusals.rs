//! What routes refuse by themselves, in upstream's words: requests that make no sense, and what the caller or the state of things forbids.

use http::StatusCode;
use http::header::{ALLOW, HeaderValue};
use serde_json::Value;

use crate::api::{Error, Text};
use crate::image::{Status, UnknownMemberStatus};
use crate::schema::python::{Excerpt, display, or_none};

/// Names and values are those of the request, or of what it is about.
#[derive(Debug, thiserror::Error)]
pub(in crate::api) enum Refusal<'a> {
    #[error("Body expected in request.")]
    NoBody,
    #[error("A body is not expected with this request.")]
    UnexpectedBody,
    #[error("Malformed JSON in request body.")]
    Malformed,
    #[error("Unexpected body type. Expected list/dict.")]
    NeitherListNorObject,
    #[error("Request is too large. It has more than {0} values.")]
    TooManyValues(usize),
    /// There is no room for the body for now.
    #[error("Too many large requests. Try again later.")]
    Busy,
    /// Nobody waits for the answer any more, so nobody reads this.
    #[error("the client is gone")]
    Abandoned,
    #[error("Read-only access")]
    ReadOnlyAccess,
    #[error("You are not authorized to complete {0} action.")]
    NotAuthorized(&'a str),
    /// Of something that the caller may not even see.
    #[error("the caller may not see it")]
    Unseen,
    #[error("You do not own this image")]
    NotOwner,

    // A new image.
    #[error("Request body must be a JSON object.")]
    NoObject,
    #[error("Attribute '{0}' is read-only.")]
    ReadOnlyAttribute(&'a str),
    #[error("Custom property should not be greater than 255 characters.")]
    LongProperty,
    #[error("Attribute '{0}' is reserved.")]
    ReservedAttribute(&'a str),
    /// The policy forbids it.
    #[error("You are not permitted to create images owned by '{}'", or_none(*.0))]
    OwnerNotPermitted(Option<&'a str>),
    /// The policy allows it, but it is another project's.
    #[error("You are not permitted to create images owned by '{}'.", or_none(*.0))]
    OwnerForeign(Option<&'a str>),

    // The data of an image.
    #[error("The requested image has been deactivated. Image data download is forbidden.")]
    Deactivated,
    #[error("Store selection for download is not available when multiple backends are not enabled.")]
    NoStoreSelection,
    #[error("Store '{}' is not configured.", Excerpt(.0))]
    StoreNotConfigured(&'a str),
    #[error("Invalid or missing image size in request headers.")]
    AnnouncedSize,
    #[error("Store for identifier {} not found", Excerpt(.0))]
    StoreNotFound(&'a str),
    #[error("Not allowed to upload image data for image {0}")]
    UploadForbidden(&'a str),
    #[error("'glance-direct' method is not available at this site.")]
    NoStaging,
    #[error(
        "Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests instead."
    )]
    SeveralRanges,
    #[error("Invalid {0} header.")]
    MalformedRange(&'static str),
    #[error(
        "Invalid start position in {header} header. Start position MUST be in the inclusive range [0, {}].",
        i128::from(*size) - 1
    )]
    RangeStart { header: &'static str, size: u64 },
    #[error(
        "Invalid stop position in {header} header. The stop position MUST be in the inclusive range [0, {}].",
        i128::from(*size) - 1
    )]
    RangeStop { header: &'static str, size: u64 },

    // Locations.
    #[error("It's not allowed to add locations if image status is {0}.")]
    NotQueued(Status),
    #[error("http store must be enabled to use location API by normal user.")]
    LocationOfServices,
    #[error("URI for add location does not pass filtering: {}", Excerpt(.0))]
    LocationFiltered(&'a str),

    // Members and tags.
    #[error("Expected a member in the form: {{\"member\": \"image_id\"}}")]
    MemberForm,
    #[error("Member to be added not specified")]
    NoMember,
    #[error("Member can't be empty")]
    EmptyMember,
    #[error("Expected a status in the form: {{\"status\": \"status\"}}")]
    MemberStatusForm,
    #[error("Status not specified")]
    NoMemberStatus,
    #[error("Incorrect request: {0}")]
    MemberStatus(UnknownMemberStatus),
    #[error("Only shared images have members.")]
    NotShared,
    #[error("Not allowed to list members for image {0}: Only shared images have members.")]
    MembersOfUnshared(&'a str),
    #[error("Not allowed to {action} members for image {id}.")]
    MembersForbidden { action: &'a str, id: &'a str },
    /// What is refused does not exist, so that nobody learns who is a member.
    #[error("You are not authorized to complete {0} action.")]
    MembershipUnseen(&'a str),
    #[error("the image has no such tag")]
    NoTag,

    // Tasks.
    #[error("Task '{0}' is required")]
    NoTaskField(&'static str),
    #[error("Invalid location: {}", or_none(.0.map(display).as_deref()))]
    TaskSource(Option<&'a Value>),
    #[error("File based imports are not allowed. Please use a non-local source of image data.")]
    LocalTaskSource,
    #[error("The given uri is not valid. Please specify a valid uri from the following list of supported uri ['http']")]
    TaskSourceScheme,
    #[error("URI for legacy import task does not pass filtering: {}", Excerpt(.0))]
    TaskSourceFiltered(&'a str),
    #[error(
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based on \
         their expires_at property."
    )]
    TaskDeletion,

    // Stores and the cache.
    #[error("Multi backend is not supported at this site.")]
    NoStores,
    #[error("The selected store {0} is not available on this node.")]
    StoreNotHere(&'a str),
    #[error("Caching via API is not supported at this site.")]
    NoCache,
    #[error("Centralized caching is not enabled")]
    CacheNotCentral,
    #[error("Only images with status active can be targeted for queueing")]
    NotActive,
    #[error("If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.")]
    ClearTarget,

    // Metadata definitions.
    #[error("Metadata definition namespace not found for id=")]
    EmptyNamespaceMarker,
    #[error(
        "Property {} does not start with the expected resource type association prefix of '{}'.",
        Excerpt(.property),
        or_none(*.prefix)
    )]
    NotPrefixed { property: &'a str, prefix: Option<&'a str> },
}

impl From<Refusal<'_>> for Error {
    fn from(refusal: Refusal<'_>) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NoBody
            | Refusal::UnexpectedBody
            | Refusal::Malformed
            | Refusal::NeitherListNorObject
            | Refusal::NoObject
            | Refusal::LongProperty
            | Refusal::NoStoreSelection
            | Refusal::StoreNotConfigured(_)
            | Refusal::AnnouncedSize
            | Refusal::StoreNotFound(_)
            | Refusal::SeveralRanges
            | Refusal::LocationFiltered(_)
            | Refusal::MemberForm
            | Refusal::NoMember
            | Refusal::EmptyMember
            | Refusal::MemberStatusForm
            | Refusal::NoMemberStatus
            | Refusal::MemberStatus(_)
            | Refusal::NoTaskField(_)
            | Refusal::TaskSource(_)
            | Refusal::LocalTaskSource
            | Refusal::TaskSourceScheme
            | Refusal::TaskSourceFiltered(_)
            | Refusal::NotActive
            | Refusal::ClearTarget => Self::bad_request(text),
            Refusal::Abandoned => Self::stock(StatusCode::BAD_REQUEST),
            Refusal::NotAuthorized(_)
            | Refusal::NotOwner
            | Refusal::ReadOnlyAttribute(_)
            | Refusal::OwnerForeign(_)
            | Refusal::Deactivated
            | Refusal::UploadForbidden(_)
            | Refusal::LocationOfServices
            | Refusal::MembersOfUnshared(_)
            | Refusal::MembersForbidden { .. } => Self::explanation(StatusCode::FORBIDDEN, text),
            Refusal::ReadOnlyAccess | Refusal::ReservedAttribute(_) | Refusal::OwnerNotPermitted(_) => {
                Self::detail(StatusCode::FORBIDDEN, text)
            }
            Refusal::Unseen | Refusal::NoTag => Self::stock(StatusCode::NOT_FOUND),
            Refusal::NoStaging
            | Refusal::NotShared
            | Refusal::MembershipUnseen(_)
            | Refusal::NoStores
            | Refusal::NoCache
            | Refusal::EmptyNamespaceMarker
            | Refusal::NotPrefixed { .. } => Self::explanation(StatusCode::NOT_FOUND, text),
            Refusal::TaskDeletion => {
                let mut error = Self { text: Text::Whole(text), ..Self::stock(StatusCode::METHOD_NOT_ALLOWED) };
                error.headers.insert(ALLOW, HeaderValue::from_static("GET"));
                error
            }
            Refusal::NotQueued(_) | Refusal::StoreNotHere(_) | Refusal::CacheNotCentral => {
                Self::explanation(StatusCode::CONFLICT, text)
            }
            Refusal::TooManyValues(_) => Self::explanation(StatusCode::PAYLOAD_TOO_LARGE, text),
            Refusal::Busy => Self::explanation(StatusCode::SERVICE_UNAVAILABLE, text),
            Refusal::MalformedRange(_) | Refusal::RangeStart { .. } | Refusal::RangeStop { .. } => {
                Self::detail(StatusCode::RANGE_NOT_SATISFIABLE, text)
            }
        }
    }
}
