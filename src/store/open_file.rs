//! An open file whose closing keeps no other work from going on.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, StatxFlags, statx};
use tokio::runtime::Handle;

/// Bytes of a file from which on it may take long to free its blocks.
const LARGE: u64 = 16 * 1024 * 1024;

/// An open file of image data. When it is dropped and was removed meanwhile, closing it gives its blocks back to the disk, which may take
/// long: that happens on a thread that may wait.
#[derive(Debug)]
pub struct OpenFile {
    // In this order: the last to be dropped is the closer's.
    file: Arc<File>,
    _closer: Closer,
}

impl OpenFile {
    pub fn shared(file: File) -> Arc<Self> {
        let file = Arc::new(file);
        Arc::new(Self { file: Arc::clone(&file), _closer: Closer(Some(file)) })
    }
}

impl Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[derive(Debug)]
struct Closer(Option<Arc<File>>);

impl Drop for Closer {
    fn drop(&mut self) {
        let Some(file) = self.0.take() else { return };
        if frees_much(&file)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// Whether closing the last descriptor of a file may free many blocks. Asks no server (NFS, FUSE), as that may take long itself: what the
/// kernel knows is exact for local file systems, whose blocks are the ones that this host frees.
fn frees_much(file: &File) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(file, c"", flags, StatxFlags::NLINK | StatxFlags::SIZE)
        .is_ok_and(|found| found.stx_nlink == 0 && found.stx_size >= LARGE)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;

    /// A removed file of so many bytes that is locked until it is closed, and another descriptor of it.
    fn removed(bytes: u64) -> (Arc<OpenFile>, File) {
        let place = tempfile::NamedTempFile::new().unwrap();
        let (file, other) = (place.reopen().unwrap(), place.reopen().unwrap());
        file.set_len(bytes).unwrap();
        file.try_lock().unwrap();
        (OpenFile::shared(file), other)
    }

    /// Waits until nobody has the file locked. A neighbour's child process may have its descriptors for a moment, until it runs its program.
    #[expect(clippy::disallowed_methods, reason = "the test waits, with its runtime")]
    fn is_unlocked_soon(file: &File) -> bool {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match file.try_lock() {
                Ok(()) => return true,
                Err(_) if Instant::now() >= end => return false,
                Err(_) => sleep(Duration::from_millis(5)),
            }
        }
    }

    #[test]
    fn what_takes_long_to_close_is_closed_where_that_may_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (go_on, wait) = mpsc::channel();
        runtime.block_on(async {
            // The only thread that may wait is busy.
            let busy = tokio::task::spawn_blocking(move || wait.recv().unwrap());
            let ((small, small_lock), (large, large_lock)) = (removed(LARGE - 1), removed(LARGE));
            drop(small);
            assert!(is_unlocked_soon(&small_lock));
            drop(large);
            assert!(large_lock.try_lock().is_err(), "it is closed at once");
            go_on.send(()).unwrap();
            busy.await.unwrap();
            tokio::task::spawn_blocking(move || large_lock.lock().unwrap()).await.unwrap();
        });
        // Where there is no such thread there is nothing that must not wait.
        let (large, lock) = removed(LARGE);
        drop(large);
        assert!(is_unlocked_soon(&lock));
    }
}
