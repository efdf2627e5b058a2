//! What can go wrong with image data, by kind.

use std::io;
use std::ops::Range;
use std::time::Duration;

/// A fault of a store. Status codes, retries and clean-up depend on the variant alone; the texts of those that a client
/// may see are upstream's (`glance_store/exceptions.py`). No text contains a location's URL, which may hold credentials.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no data at that place.
    #[error("Image {image} not found")]
    NotFound {
        /// The path, or what else names the object without secrets.
        image: String,
    },
    /// The object to be written exists.
    #[error("Image {image} already exists")]
    Duplicate { image: String },
    /// No space, quota used up, or larger than the file system allows.
    #[error("There is not enough disk space on the image storage media.")]
    Full {
        #[source]
        source: Option<io::Error>,
    },
    /// None of several directories has room for the announced size.
    #[error("There is no enough disk space left on the image storage media. requested={requested}")]
    NoRoom { requested: u64 },
    /// The store may not write where it should.
    #[error("Permission to write image storage media denied.")]
    WriteDenied {
        #[source]
        source: io::Error,
    },
    /// The store cannot take data: read-only by nature, or its configuration is bad.
    #[error("Configuration for store failed. Adding images to this store is disabled.")]
    AddDisabled { store: String },
    /// The object may not be deleted.
    #[error("You cannot delete file {image}")]
    DeleteDenied {
        image: String,
        #[source]
        source: io::Error,
    },
    /// Something outside Glance uses the object.
    #[error("The image cannot be deleted because it is in use through the backend store outside of Glance.")]
    InUse { image: String },
    /// Snapshots hang on the object.
    #[error("The image cannot be deleted because it has snapshot(s).")]
    HasSnapshot { image: String },
    /// The server that holds the data does not answer.
    #[error("Remote server where the image is present is unavailable.")]
    RemoteUnavailable {
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A write failed, or a deletion, and what it should have removed may still be there; `Store::delete` takes it later.
    #[error(transparent)]
    LeftBehind(Box<Self>),
    /// The URL is malformed, or leads to something that is no image.
    #[error("{reason}")]
    BadLocation { reason: String },
    /// No configured store takes URLs of this scheme.
    #[error("Unknown scheme '{scheme}' found in URI")]
    UnknownScheme { scheme: String },
    /// No store has this id.
    #[error("Store for identifier {store} not found")]
    UnknownStore { store: String },
    /// The store cannot do that.
    #[error("{capability}")]
    Unsupported { store: String, capability: Capability },
    /// The storage did not answer in time.
    #[error("Operation timed out after {}s. Check storage health and connectivity.", after.as_secs())]
    Timeout { after: Duration },
    /// More redirections than the driver follows.
    #[error("The HTTP URL exceeded {redirects} maximum redirects.")]
    TooManyRedirects { redirects: usize },
    /// More data came than was announced.
    #[error("Size exceeds: expected {expected} bytes, got {actual} bytes")]
    SizeExceeded { expected: i128, actual: u64 },
    /// Less data came than was announced.
    #[error("Size mismatch: expected {expected} bytes, got {actual} bytes")]
    SizeMismatch { expected: i128, actual: u64 },
    /// Data cannot be hashed this way.
    #[error("Unknown hashing algorithm identifier: {algorithm}")]
    UnknownAlgorithm { algorithm: String },
    /// The options of a store do not make sense; for the operator. The store stands for its section of the configuration.
    #[error("[{store}] {reason}")]
    Configuration { store: String, reason: String },
    /// The worker, or the machine, has no descriptor, thread or memory for it. The same may succeed a little later, or elsewhere.
    #[error("{doing}")]
    Exhausted {
        doing: String,
        #[source]
        source: io::Error,
    },
    /// Any other fault of the operating system.
    #[error("{doing}")]
    Io {
        /// What was attempted on which path.
        doing: String,
        #[source]
        source: io::Error,
    },
}

/// Something that not every store can do; its text is upstream's when it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    Delete,
    ReadRange { offset: u64, length: u64 },
}

impl Capability {
    pub(super) fn of_range(range: &Range<u64>) -> Self {
        Self::ReadRange { offset: range.start, length: range.end.saturating_sub(range.start) }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delete => f.write_str("Deleting images from this store is not supported."),
            Self::ReadRange { offset, length } => write!(
                f,
                "Getting images randomly from this store is not supported. Offset: {offset}, length: {length}"
            ),
        }
    }
}

impl StoreError {
    /// Sorts a failed write into full, denied, or what [`Self::system`] makes of it.
    pub(super) fn writing(doing: impl FnOnce() -> String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Self::Full { source: Some(source) },
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => Self::WriteDenied { source },
            _ => Self::system(doing(), source),
        }
    }

    /// Sorts another failed call into exhausted or other.
    pub(super) fn system(doing: String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Self::Exhausted { doing, source },
            _ => Self::Io { doing, source },
        }
    }

    /// Whether it is [`Self::Exhausted`], also where something may have been left.
    pub fn is_exhausted(&self) -> bool {
        match self {
            Self::Exhausted { .. } => true,
            Self::LeftBehind(cause) => cause.is_exhausted(),
            _ => false,
        }
    }

    /// Whether the storage does not answer, also where something may have been left.
    pub fn is_away(&self) -> bool {
        match self {
            Self::RemoteUnavailable { .. } | Self::Timeout { .. } => true,
            Self::LeftBehind(cause) => cause.is_away(),
            _ => false,
        }
    }

    /// Whether the storage went away, perhaps in the middle of what it did, or may still do it.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::RemoteUnavailable { .. } | Self::Timeout { .. } | Self::LeftBehind(_))
    }

    /// No thread could be had.
    pub(super) fn no_thread() -> Self {
        Self::without_thread(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// A thread has stopped in the middle of its work.
    pub(super) fn broken_thread() -> Self {
        Self::without_thread(io::Error::other("it has not done its work"))
    }

    /// A thread could not be had, or did not do its work; `source` tells which.
    pub(crate) fn without_thread(source: io::Error) -> Self {
        let doing = "cannot run a storage thread".to_owned();
        match source.raw_os_error() {
            Some(libc::EAGAIN) => Self::Exhausted { doing, source },
            _ => Self::system(doing, source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_writes_are_sorted_by_errno() {
        let kind = |errno| match StoreError::writing(|| "writing".to_owned(), io::Error::from_raw_os_error(errno)) {
            StoreError::Full { .. } => "full",
            StoreError::WriteDenied { .. } => "denied",
            StoreError::Exhausted { .. } => "exhausted",
            StoreError::Io { .. } => "io",
            _ => "other",
        };
        for (errno, expected) in [
            (libc::ENOSPC, "full"),
            (libc::EDQUOT, "full"),
            (libc::EFBIG, "full"),
            (libc::EACCES, "denied"),
            (libc::EPERM, "denied"),
            (libc::EROFS, "denied"),
            (libc::EMFILE, "exhausted"),
            (libc::ENFILE, "exhausted"),
            (libc::ENOMEM, "exhausted"),
            (libc::EAGAIN, "io"),
            (libc::EIO, "io"),
        ] {
            assert_eq!(kind(errno), expected, "errno {errno}");
        }
    }

    #[test]
    fn a_thread_that_cannot_be_had_is_told_from_one_that_failed() {
        assert!(StoreError::no_thread().is_exhausted());
        assert!(StoreError::LeftBehind(Box::new(StoreError::no_thread())).is_exhausted());
        let without = |errno| StoreError::without_thread(io::Error::from_raw_os_error(errno)).is_exhausted();
        assert!(without(libc::EAGAIN) && without(libc::ENOMEM) && !without(libc::EIO));
        assert!(!StoreError::without_thread(io::Error::other("a panic")).is_exhausted());
    }

    #[test]
    fn texts_for_clients_are_upstreams() {
        let size = StoreError::SizeMismatch { expected: 5, actual: 3 };
        assert_eq!(size.to_string(), "Size mismatch: expected 5 bytes, got 3 bytes");
        let late = StoreError::Timeout { after: Duration::from_secs(30) };
        assert_eq!(late.to_string(), "Operation timed out after 30s. Check storage health and connectivity.");
        let delete = StoreError::Unsupported { store: "web".to_owned(), capability: Capability::Delete };
        assert_eq!(delete.to_string(), "Deleting images from this store is not supported.");
    }
}
