//! Why data was not taken.

use crate::store::StoreError;

/// The data is in no store. What was written of it is removed, except where a [`StoreError::LeftBehind`] says that something may
/// still be there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    /// Whoever sends the data went away or stalled.
    #[error("the data ended early")]
    Source(#[source] std::io::Error),
    /// More than one object may hold.
    #[error("more than {most} bytes came")]
    TooLarge { most: u64 },
    /// More than is left of the quota. Bytes.
    #[error("{size} bytes came where {remaining} are left")]
    OverQuota { size: u64, remaining: u64 },
    /// Stores without which the data is not wanted failed.
    #[error(transparent)]
    Stores(#[from] FailedStores),
    /// The digests cannot be computed, there can be no thread to pour, or the size is not the announced one.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores that failed, and the one error of theirs to speak of.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct FailedStores {
    /// Their ids.
    pub(crate) ids: Vec<String>,
    #[source]
    pub(crate) error: StoreError,
}
