//! Work that waits for the file system, on a thread that may.

use std::io;

use tokio::task::spawn_blocking;

/// # Errors
/// Those of the work; `Other` where it panicked or no thread could be had.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
