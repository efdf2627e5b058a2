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
    /// A store failed, or the size is not the announced one.
    #[error(transparent)]
    Store(#[from] StoreError),
}
