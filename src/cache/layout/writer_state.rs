//! What the writer of an incomplete file says of its data, and how others see what it is doing.
//!
//! That the data is right is said by a lock (see [`locks`]), and for good by the file's place among the images. That it is wrong, or that
//! the disk has refused it, is said by the file's mode, which stays with the file wherever it is moved and whoever removes its name.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use super::{Layout, is_at, locks};

/// The sticky bit, which means nothing for files (inode(7)): data with it was found wrong.
pub(super) const REFUTED: u32 = 0o1000;

/// The bit that lets programs run as their owner, on a file that nobody can run: the disk refused data of it.
const REFUSED: u32 = 0o4000;

/// What the writer of an incomplete file is doing, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum WriterState {
    /// It has written this many bytes.
    Writing(u64),
    /// It has written all bytes, so many, and found them right; they are not durable yet.
    Verified(u64),
    /// It has made the file a cached image of this many bytes.
    Finished(u64),
    /// It has found the data wrong.
    Invalid,
    /// The disk has refused data that was found right.
    Refused,
    /// It has given up or is dead.
    Gone,
}

impl Layout {
    /// Tells the followers that all bytes of a file that is ours are right.
    pub(in crate::cache) fn mark_verified(file: &File) {
        // Without such locks they wait for the end.
        let _ = locks::mark_verified(file);
    }

    /// Removes an incomplete file that is ours and of which the disk has refused data, and tells its followers: what they read from it
    /// may be something else.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn abandon_refused(&self, id: &str, file: &File) -> io::Result<()> {
        // Where that cannot be done the disk gives nothing at all any more.
        let _ = add_mode(file, REFUSED);
        self.abandon(id, file)
    }

    /// Puts an incomplete file that is ours among the invalid ones, and tells its followers.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn invalidate_incomplete(&self, id: &str, file: &File) -> io::Result<()> {
        // In the file itself, as it may be removed before they look. Where that cannot be done, its folder tells them.
        let _ = add_mode(file, REFUTED);
        self.release(file);
        let put_aside = self.put_aside(id, file, &self.incomplete(id));
        file.unlock()?;
        put_aside
    }

    /// What the writer of a file that [`Self::begin`] found is doing.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn writer_state(&self, id: &str, file: &File) -> io::Result<WriterState> {
        if let Some(told) = told(file)? {
            return Ok(told);
        }
        // Its writer lives, whatever has become of its name.
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let is_verified = locks::is_verified(file).unwrap_or(false);
                // It has grown to its end before it was found right.
                let size = file.metadata()?.len();
                return Ok(if is_verified { WriterState::Verified(size) } else { WriterState::Writing(size) });
            }
        }
        // Either it is dead or it has just finished, which only the name tells.
        if is_at(file, &self.image(id)) {
            return Ok(WriterState::Finished(file.metadata()?.len()));
        }
        file.unlock()?;
        if let Some(told) = told(file)? {
            return Ok(told);
        }
        Ok(if is_at(file, &self.invalid(id)) { WriterState::Invalid } else { WriterState::Gone })
    }
}

/// What its writer has said of its data.
pub(super) fn told(file: &File) -> io::Result<Option<WriterState>> {
    let mode = file.metadata()?.permissions().mode();
    Ok(match (mode & REFUTED != 0, mode & REFUSED != 0) {
        (true, _) => Some(WriterState::Invalid),
        (false, true) => Some(WriterState::Refused),
        (false, false) => None,
    })
}

pub(super) fn add_mode(file: &File, bit: u32) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() | bit;
    file.set_permissions(fs::Permissions::from_mode(mode))
}
