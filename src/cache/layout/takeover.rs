//! Going on with the file of a writer that died while others read behind it.

use std::fs::{File, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

use super::reservation::blocks;
use super::{Layout, is_at, told};

/// What a dead writer has left of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Left {
    /// Bytes that are there. Nobody knows whether they are right.
    pub(in crate::cache) written: u64,
    /// Bytes that are there or were set aside.
    pub(in crate::cache) taken: u64,
}

/// What came of asking for the file of a dead writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum TakeOver {
    /// It is ours, locked, and is written on at its end.
    Ours(Left),
    /// Somebody else has it locked, perhaps only to look at it.
    Contested,
    /// It is nobody's any more: its name was removed, or its data refused.
    Lost,
}

impl Layout {
    /// Asks for the file of a dead writer that this process has followed.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn take_over(&self, id: &str, file: &File) -> io::Result<TakeOver> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(TakeOver::Contested),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let found = self.look_at(id, file);
        if !matches!(found, Ok(TakeOver::Ours(_))) {
            file.unlock()?;
        }
        found
    }

    /// Looks at a file that is locked.
    fn look_at(&self, id: &str, mut file: &File) -> io::Result<TakeOver> {
        if told(file)?.is_some() || !is_at(file, &self.incomplete(id)) {
            return Ok(TakeOver::Lost);
        }
        let written = file.seek(SeekFrom::End(0))?;
        let metadata = file.metadata()?;
        let noted = self.reservations()?.get(&metadata.ino()).copied().unwrap_or(0);
        Ok(TakeOver::Ours(Left { written, taken: written.max(blocks(&metadata)).max(noted) }))
    }
}
