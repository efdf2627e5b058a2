//! Work that waits for the file system, on a thread that may, and which of its failures pass.

use std::io;

use tokio::task::spawn_blocking;

/// # Errors
/// Those of the work; `Other` where it panicked or no thread could be had.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Whether a disk is in a state that can pass without anybody changing the configuration.
pub(super) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, StorageFull, TimedOut};
    matches!(error.kind(), ReadOnlyFilesystem | StorageFull | QuotaExceeded | StaleNetworkFileHandle | TimedOut)
        || error.raw_os_error() == Some(libc::EIO)
}
