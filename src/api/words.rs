//! The one place where errors of the domain get their status codes. Handlers that upstream lets speak otherwise
//! (upload, download, delete) look at the error first.

use std::io::ErrorKind;

use http::StatusCode;

use super::Error;
use crate::db::DbError;
use crate::image;

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Self {
        use image::Error as Domain;
        let text = error.to_string();
        match &error {
            Domain::NotFound(_) | Domain::MemberMissing { .. } => Self::explanation(StatusCode::NOT_FOUND, text),
            Domain::Forbidden(_) | Domain::ReadOnly(_) | Domain::Reserved(_) | Domain::Protected(_) => {
                Self::explanation(StatusCode::FORBIDDEN, text)
            }
            Domain::LocationsFixed(_) => Self::explanation(StatusCode::FORBIDDEN, text),
            Domain::PropertyFixed(_) | Domain::OwnerFixed | Domain::LocationsEmptied(_) => {
                Self::detail(StatusCode::FORBIDDEN, text)
            }
            Domain::PropertyMissing(_) | Domain::PropertyPresent(_) => Self::detail(StatusCode::CONFLICT, text),
            Domain::Duplicate(_)
            | Domain::MemberPresent { .. }
            | Domain::Raced { .. }
            | Domain::Conflict(_)
            | Domain::Db(DbError::Duplicate { .. }) => Self::explanation(StatusCode::CONFLICT, text),
            Domain::Invalid(_)
            | Domain::MissingFormats(_)
            | Domain::Transition(_)
            | Domain::DataDiffers(_)
            | Domain::BadLocation
            | Domain::MalformedLocation
            | Domain::Db(DbError::Characters(_))
            | Domain::DuplicateLocation(_)
            | Domain::SignatureUnverified(_) => Self::explanation(StatusCode::BAD_REQUEST, text),
            Domain::BadData(_) => Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text),
            Domain::Gone(_) => Self::explanation(StatusCode::GONE, text),
            Domain::TooMany { .. } | Domain::TooLarge => Self::explanation(StatusCode::PAYLOAD_TOO_LARGE, text),
            Domain::StorageQuota { .. } => Self::explanation(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("Denying attempt to upload image because it exceeds the quota: {text}"),
            ),
            Domain::Db(database) if database.is_unavailable() => {
                Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error)
            }
            // The client is gone or has stalled: nobody reads the answer, the journal does.
            Domain::Client(_) => Self::stock(StatusCode::BAD_REQUEST).because(error),
            // Nothing has been done, as the work could not be written down before; it may be later, or by another worker.
            Domain::Journal(cause) => {
                let is_full = matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                let status = if is_full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::SERVICE_UNAVAILABLE };
                Self::stock(status).because(error)
            }
            Domain::Corrupt { .. } | Domain::Interrupted(_) | Domain::Db(_) | Domain::Store(_) => Self::internal(error),
        }
    }
}

impl From<image::patch::PatchError> for Error {
    fn from(error: image::patch::PatchError) -> Self {
        use image::patch::PatchError;
        let text = error.to_string();
        match error {
            PatchError::Forbidden(_) => Self::explanation(StatusCode::FORBIDDEN, text),
            PatchError::Invalid(_) => Self::explanation(StatusCode::BAD_REQUEST, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_cannot_be_written_down_may_be_tried_again_elsewhere() {
        let table =
            [(libc::ENOSPC, 507), (libc::EDQUOT, 507), (libc::EMFILE, 503), (libc::EIO, 503), (libc::EROFS, 503)];
        for (errno, status) in table {
            let error = Error::from(image::Error::Journal(std::io::Error::from_raw_os_error(errno)));
            assert_eq!(error.status.as_u16(), status, "errno {errno}");
            assert!(error.cause.is_some(), "the journal does not learn why");
        }
    }
}
