//! The room that files take, and removing them.

use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use super::reservation::blocks;
use super::{Layout, entries, is_at, is_id, remove};

/// Bytes in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Usage {
    /// Of all files.
    pub(in crate::cache) total: u64,
    /// Of those that are being written, or were until their writer died: what they have and will need.
    pub(in crate::cache) incomplete: u64,
}

/// What came of evicting an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Evicted {
    /// This many bytes are free.
    Removed(u64),
    InUse,
    /// There is none.
    Absent,
}

impl Layout {
    /// Bytes that whole and invalid images take, and those that are being written will take.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn usage(&self) -> io::Result<Usage> {
        let (mut usage, mut counted) = (Usage::default(), HashSet::new());
        let reservations = self.reservations()?;
        let incomplete = self.base.join("incomplete");
        // Files move on in this order meanwhile: none is missed, and what is seen twice counts once.
        for folder in [&*incomplete, &*self.base, &*self.base.join("invalid")] {
            for (path, metadata) in entries(folder)? {
                let is_image = path.file_name().and_then(|name| name.to_str()).is_some_and(is_id);
                if (folder == self.base && !is_image) || !counted.insert(metadata.ino()) {
                    continue;
                }
                // A writer sets aside what it will need.
                let mut bytes = metadata.len();
                if folder != self.base {
                    bytes = bytes.max(blocks(&metadata));
                }
                if folder == incomplete {
                    bytes = bytes.max(reservations.get(&metadata.ino()).copied().unwrap_or(0));
                    usage.incomplete = usage.incomplete.saturating_add(bytes);
                }
                usage.total = usage.total.saturating_add(bytes);
            }
        }
        Ok(usage)
    }

    /// Removes a cached image, whoever reads it, and one that is being written, whose writer finds that out. False: there was none.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn remove(&self, id: &str) -> io::Result<bool> {
        // In this order: the writer may give it its name in between.
        remove(&self.incomplete(id))?;
        remove(&self.image(id))
    }

    /// Removes a cached image that nobody is reading.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn evict(&self, id: &str) -> io::Result<Evicted> {
        let path = self.image(id);
        let file = match open_to_lock(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Evicted::Absent),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Evicted::InUse),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let size = file.metadata()?.len();
        Ok(if is_at(&file, &path) && remove(&path)? { Evicted::Removed(size) } else { Evicted::Absent })
    }

    /// Removes the invalid files that were last written to before `before`; how many.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn remove_invalid(&self, before: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        for (path, metadata) in entries(&self.base.join("invalid"))? {
            if is_older(&metadata, before) {
                removed += u64::from(remove_unused(&path)?);
            }
        }
        Ok(removed)
    }

    /// Removes incomplete files that nobody writes or is about to go on with, and that were last written to before `before`; how many.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn remove_stalled(&self, before: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        for (path, metadata) in entries(&self.base.join("incomplete"))? {
            if !is_older(&metadata, before) {
                continue;
            }
            let Ok(file) = open_to_lock(&path) else { continue };
            // Nobody takes it over while it is locked. Since it was listed, somebody may have, and have died as well.
            if file.try_lock().is_ok()
                && is_at(&file, &path)
                && is_older(&file.metadata()?, before)
                && !Self::has_heir(&file)
            {
                self.release(&file);
                removed += u64::from(remove_unused(&path)?);
            }
        }
        self.remove_reservations(before)?;
        Ok(removed)
    }
}

/// Whether a file was last written to before a time.
fn is_older(metadata: &Metadata, before: SystemTime) -> bool {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) < before
}

/// Removes a file, but not what NFS keeps of one that was removed while a process had it open: that goes with its last descriptor.
fn remove_unused(path: &Path) -> io::Result<bool> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        removed => removed,
    }
}

/// Opens a file that is to be locked for us alone. On NFS only a file that is open for writing can be (flock(2)).
pub(super) fn open_to_lock(path: &Path) -> io::Result<File> {
    let open = |writes: bool| {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        OpenOptions::new().read(true).write(writes).custom_flags(flags).open(path)
    };
    match open(true) {
        // An operator may have made it so.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(false),
        opened => opened,
    }
}
