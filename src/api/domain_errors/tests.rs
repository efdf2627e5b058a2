use super::*;
use crate::api::Text;

fn seen(error: &Error) -> (u16, &str) {
    let text = match &error.text {
        Text::Stock => "",
        Text::Explanation(text) | Text::Detail(text) | Text::Whole(text) => text,
    };
    (error.status.as_u16(), text)
}

fn io() -> io::Error {
    io::Error::other("disk")
}

/// Statuses and texts of `glance/api/v2/image_data.py` and `glance/api/v2/images.py`.
#[test]
fn one_fault_of_a_store_is_told_as_the_operation_tells_it() {
    let remote = || StoreError::RemoteUnavailable { source: None };
    let denied = || StoreError::WriteDenied { source: io() };
    let full = || StoreError::LeftBehind(Box::new(StoreError::Full { source: None }));
    let late = || StoreError::Timeout { after: std::time::Duration::from_secs(3) };
    let none_free = || StoreError::Exhausted { doing: "opening".to_owned(), source: io() };
    let gone = "Remote server where the image is present is unavailable.";
    for (make, upload, download, delete) in [
        (&remote as &dyn Fn() -> StoreError, (503, gone), (503, gone), (503, gone)),
        (
            &denied,
            (503, "Insufficient permissions on image storage media: Permission to write image storage media denied."),
            (500, ""),
            (403, "Permission to write image storage media denied."),
        ),
        (
            &full,
            (413, "Image storage media is full: There is not enough disk space on the image storage media."),
            (500, ""),
            (500, ""),
        ),
        (&none_free, (503, ""), (503, ""), (503, "")),
        (
            &late,
            (503, "Operation timed out after 3s. Check storage health and connectivity."),
            (503, "Operation timed out after 3s. Check storage health and connectivity."),
            (
                503,
                "Image i could not be deleted because the filesystem store operation timed out: Operation timed out \
                 after 3s. Check storage health and connectivity.",
            ),
        ),
    ] {
        let errors = [of_upload(make().into()), of_download(make().into()), of_delete(make().into(), "i")];
        for (error, expected) in errors.iter().zip([upload, download, delete]) {
            assert_eq!(seen(error), expected);
            assert!(error.cause.is_some(), "{error}: the log learns nothing");
        }
    }
}

/// `POST …/import`, where the store itself would have to tell where the data goes.
#[test]
fn a_task_for_a_store_that_is_away_is_asked_for_later() {
    let remote = || StoreError::RemoteUnavailable { source: None };
    let late = StoreError::Timeout { after: std::time::Duration::from_secs(3) };
    for (fault, status) in [
        (remote(), 503),
        (late, 503),
        (StoreError::LeftBehind(Box::new(remote())), 503),
        (StoreError::LeftBehind(Box::new(StoreError::Full { source: None })), 500),
        (StoreError::Io { doing: "opening".to_owned(), source: io() }, 500),
    ] {
        let error = Error::from(task::Error::Image(fault.into()));
        assert_eq!(error.status.as_u16(), status, "{error}");
        assert!(error.cause.is_some(), "{error}: the log learns nothing");
    }
}

#[test]
fn a_copy_that_stays_is_told_in_words_of_its_own() {
    let image = || "f".to_owned();
    let late = StoreError::Timeout { after: std::time::Duration::from_secs(3) };
    for (error, expected) in [
        (StoreError::HasSnapshot { image: image() }, (409, "The image cannot be deleted because it has snapshot(s).")),
        (
            StoreError::InUse { image: image() },
            (
                409,
                "The data for Image i could not be deleted because it is in use: The image cannot be deleted because it is \
                 in use through the backend store outside of Glance.",
            ),
        ),
        (
            late,
            (
                503,
                "The data for Image i could not be deleted because the filesystem store operation timed out: Operation \
                 timed out after 3s. Check storage health and connectivity.",
            ),
        ),
        (StoreError::DeleteDenied { image: image(), source: io() }, (500, "You cannot delete file f")),
        (StoreError::Exhausted { doing: "reading".to_owned(), source: io() }, (503, "")),
        (StoreError::Io { doing: "reading".to_owned(), source: io() }, (500, "")),
    ] {
        let error = of_copy_removal(error.into(), "i");
        assert_eq!(seen(&error), expected);
        assert!(error.cause.is_some(), "{error}: the journal learns nothing");
    }
    let missing = of_copy_removal(image::Error::NotFound("i".to_owned()), "i");
    assert_eq!(seen(&missing), (404, "Failed to find image i"));
}

#[test]
fn an_image_that_is_not_there_is_told_as_the_route_tells_it() {
    let missing = || image::Error::NotFound("i".to_owned());
    for (error, expected) in [
        (missing().into(), (404, "No image found with ID i")),
        (of_delete(missing(), "i"), (404, "Failed to find image i to delete")),
        (of_tags(missing(), "i", "update"), (404, "Image i not found.")),
        (of_members(missing(), "i"), (404, "Image i not found.")),
        (of_list(missing()), (400, "No image found with ID i")),
    ] {
        assert_eq!(seen(&error), expected);
    }
}

#[test]
fn faults_of_the_service_itself_show_nothing_of_themselves() {
    for (error, expected) in [
        (image::Error::Store(StoreError::AddDisabled { store: "s".to_owned() }).into(), (500, "")),
        (image::Error::IntentLog(io()).into(), (503, "")),
        (image::Error::IntentLog(ErrorKind::StorageFull.into()).into(), (507, "")),
        (Error::from(Arc::new(KeystoneError::Refused)), (503, "The Keystone service is temporarily unavailable.")),
    ] {
        assert_eq!(seen(&error), expected);
        assert!(error.cause.is_some());
    }
}

#[test]
fn work_that_cannot_be_written_down_may_be_tried_again_elsewhere() {
    let table = [(libc::ENOSPC, 507), (libc::EDQUOT, 507), (libc::EMFILE, 503), (libc::EIO, 503), (libc::EROFS, 503)];
    for (errno, status) in table {
        let error = Error::from(image::Error::IntentLog(io::Error::from_raw_os_error(errno)));
        assert_eq!(error.status.as_u16(), status, "errno {errno}");
        assert!(error.cause.is_some(), "the log does not learn why");
    }
}
