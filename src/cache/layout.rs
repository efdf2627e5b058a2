//! The directory of the cache: who may call a file his own, and what is in which folder.
//!
//! Laid out as upstream does (`glance/image_cache/drivers/base.py`): `<directory>/<image id>` is a whole image, `incomplete/<image id>` one
//! that is being written, `invalid/<image id>` one that turned out to be wrong, `queue/<image id>` says that one is
//! to be fetched.
//!
//! Processes agree by flock(2), which ends with its process: the writer of an incomplete file holds an exclusive lock on it, and
//! whoever reads a cached file a shared one, so that nobody takes it for unused. For what writers and their followers tell each
//! other see [`locks`]. Everything here blocks on the file system.

mod locks;
mod queue;

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Modes of what is made here: what upstream's give under its umask.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// How often a name is tried again that others make and remove at the same time.
const ATTEMPTS: u32 = 32;

/// The directory of the cache.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    base: PathBuf,
}

/// A file of the cache as it lies there.
#[derive(Clone, Debug)]
pub(super) struct OnDisk {
    pub(super) image_id: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) accessed: SystemTime,
    pub(super) modified: SystemTime,
}

/// What is to be done about an image that is not in the cache.
#[derive(Debug)]
pub(super) enum Begun {
    /// Writing it: the file is ours, locked and empty.
    Write(Arc<File>),
    /// Following its writer: another process, or another configuration of this one.
    Follow(Arc<File>),
    /// Asking again soon: its writer is giving up.
    Wait,
    /// Nothing: it is there already.
    Cached(Arc<File>),
}

/// What the writer of an incomplete file is doing, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterState {
    /// It has written this many bytes.
    Writing(u64),
    /// It has written all bytes, so many, and found them right; they are not durable yet.
    Verified(u64),
    /// It has made the file a cached image of this many bytes.
    Finished(u64),
    /// It has found the data wrong.
    Invalid,
    /// It has given up or is dead.
    Gone,
}

/// What came of evicting an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    /// This many bytes are free.
    Removed(u64),
    InUse,
    /// There is none.
    Absent,
}

impl Layout {
    pub(super) fn new(base: &Path) -> Self {
        Self { base: base.to_owned() }
    }

    /// Makes the folders where they are missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn create_folders(&self) -> io::Result<()> {
        for folder in ["incomplete", "invalid", "queue"] {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(self.base.join(folder))?;
        }
        Ok(())
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn image(&self, id: &str) -> PathBuf {
        self.base.join(id)
    }

    fn incomplete(&self, id: &str) -> PathBuf {
        self.base.join("incomplete").join(id)
    }

    fn invalid(&self, id: &str) -> PathBuf {
        self.base.join("invalid").join(id)
    }

    /// Opens a cached image and keeps it from being evicted for as long as the file is open. `None`: there is none.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` where something lies there that is no regular file.
    pub(super) fn open(&self, id: &str) -> io::Result<Option<File>> {
        // A pipe of that name must not make us wait, and a link could lead anywhere.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(self.image(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(not_a_regular_file()),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(not_a_regular_file());
        }
        // Whoever is about to evict it holds the lock; the open file can be read all the same.
        let _ = file.try_lock_shared();
        Ok(Some(file))
    }

    /// Asks to write an image.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn begin(&self, id: &str) -> io::Result<Begun> {
        let path = self.incomplete(id);
        for _ in 0..ATTEMPTS {
            let mut options = OpenOptions::new();
            options.read(true).write(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let file = match options.clone().create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match options.open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => opened?,
                },
                opened => opened?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if is_at(&file, &path) => {
                    // Without such locks it is followed unseen.
                    let is_followed = locks::follow(&file).unwrap_or(true);
                    return Ok(if is_followed { Begun::Follow(Arc::new(file)) } else { Begun::Wait });
                }
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if !is_at(&file, &path) {
                continue;
            }
            if file.metadata()?.len() > 0 {
                // Its writer is dead. Others may still read what it has written, so the file is not written to again.
                remove(&path)?;
                continue;
            }
            if let Some(cached) = self.open(id)? {
                remove(&path)?;
                return Ok(Begun::Cached(Arc::new(cached)));
            }
            return Ok(Begun::Write(Arc::new(file)));
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Before an incomplete file that is ours is given up: keeps others from following. False: somebody on this host follows.
    pub(super) fn close_to_followers(file: &File) -> bool {
        // Without such locks nobody is seen.
        locks::close_to_followers(file).unwrap_or(true)
    }

    /// Undoes [`Self::close_to_followers`].
    pub(super) fn open_to_followers(file: &File) {
        // There are none without such locks.
        let _ = locks::open_to_followers(file);
    }

    /// Tells the followers that all bytes of a file that is ours are right.
    pub(super) fn mark_verified(file: &File) {
        // Without such locks they wait for the end.
        let _ = locks::mark_verified(file);
    }

    /// Makes a whole, verified file a cached image; it is one, durably, when this returns. Its lock becomes that of a reader.
    ///
    /// # Errors
    /// Those of the file system; the image is not cached then.
    pub(super) fn commit(&self, id: &str, file: &File) -> io::Result<()> {
        file.sync_all()?;
        let path = self.incomplete(id);
        if !is_at(file, &path) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed the file while it was written"));
        }
        fs::rename(&path, self.image(id))?;
        File::open(&self.base)?.sync_all()?;
        let _ = file.try_lock_shared();
        remove(&self.queue_entry(id))?;
        Ok(())
    }

    /// Removes an incomplete file that is ours.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn abandon(&self, id: &str, file: &File) -> io::Result<()> {
        let path = self.incomplete(id);
        if is_at(file, &path) { remove(&path).map(|_| ()) } else { Ok(()) }
    }

    /// Puts an incomplete file that is ours among the invalid ones.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn invalidate_incomplete(&self, id: &str, file: &File) -> io::Result<()> {
        let path = self.incomplete(id);
        if is_at(file, &path) { fs::rename(path, self.invalid(id)) } else { Ok(()) }
    }

    /// Puts a cached file that cannot be what it is called among the invalid ones.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn invalidate(&self, id: &str, file: &File) -> io::Result<()> {
        let path = self.image(id);
        if is_at(file, &path) { fs::rename(path, self.invalid(id)) } else { Ok(()) }
    }

    /// What the writer of a file that [`Self::begin`] found is doing.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn writer_state(&self, id: &str, file: &File) -> io::Result<WriterState> {
        let path = self.incomplete(id);
        if is_at(file, &path) {
            let size = file.metadata()?.len();
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) if locks::is_verified(file).unwrap_or(false) => {
                    // It has grown to its end before that was said.
                    return Ok(WriterState::Verified(file.metadata()?.len()));
                }
                Err(TryLockError::WouldBlock) => return Ok(WriterState::Writing(size)),
                Err(TryLockError::Error(error)) => return Err(error),
                // Either its writer is dead or it has just finished, which only the name tells.
                Ok(()) if is_at(file, &path) => {
                    file.unlock()?;
                    return Ok(WriterState::Gone);
                }
                Ok(()) => {}
            }
        }
        Ok(if is_at(file, &self.image(id)) {
            let _ = file.try_lock_shared();
            WriterState::Finished(file.metadata()?.len())
        } else if is_at(file, &self.invalid(id)) {
            WriterState::Invalid
        } else {
            WriterState::Gone
        })
    }

    /// The whole images, in no order.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn images(&self) -> io::Result<Vec<OnDisk>> {
        list(&self.base)
    }

    /// Bytes that whole and invalid images take, and those that are being written will take.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn usage(&self) -> io::Result<u64> {
        let (mut sum, mut counted) = (0_u64, HashSet::new());
        // Files move on in this order meanwhile: none is missed, and what is seen twice counts once.
        for folder in [&*self.base.join("incomplete"), &*self.base, &*self.base.join("invalid")] {
            for (path, metadata) in entries(folder)? {
                let is_image = path.file_name().and_then(|name| name.to_str()).is_some_and(is_id);
                if (folder == self.base && !is_image) || !counted.insert(metadata.ino()) {
                    continue;
                }
                // A writer sets aside what it will need; the blocks show it to others.
                let reserved = if folder == self.base { 0 } else { metadata.blocks().saturating_mul(512) };
                sum = sum.saturating_add(metadata.len().max(reserved));
            }
        }
        Ok(sum)
    }

    /// Removes a cached image, whoever reads it, and one that is being written, whose writer finds that out. False: there was none.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn remove(&self, id: &str) -> io::Result<bool> {
        // In this order: the writer may give it its name in between.
        remove(&self.incomplete(id))?;
        remove(&self.image(id))
    }

    /// Removes a cached image that nobody is reading.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn evict(&self, id: &str) -> io::Result<Evicted> {
        let path = self.image(id);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
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

    /// Whether somebody is writing an image.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn is_being_written(&self, id: &str) -> io::Result<bool> {
        let file = match File::open(self.incomplete(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Removes the invalid files that were last written to before `before`; how many.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn remove_invalid(&self, before: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        for (path, metadata) in entries(&self.base.join("invalid"))? {
            if metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) < before {
                removed += u64::from(remove(&path)?);
            }
        }
        Ok(removed)
    }

    /// Removes incomplete files that nobody is writing and that were last written to before `before`; how many.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn remove_stalled(&self, before: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        for (path, metadata) in entries(&self.base.join("incomplete"))? {
            if metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) >= before {
                continue;
            }
            let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) else { continue };
            if file.try_lock().is_ok() && is_at(&file, &path) {
                removed += u64::from(remove(&path)?);
            }
        }
        Ok(removed)
    }
}

/// Whether a text can be the id of an image, and so the name of a file here. Others are not ours (lock files, databases), whatever they are.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn not_a_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file")
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (own.dev(), own.ino()) == (there.dev(), there.ino())
}

/// False: there was none.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The regular files of a folder. Those that vanish meanwhile are left out.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => found.push((entry.path(), metadata)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn list(folder: &Path) -> io::Result<Vec<OnDisk>> {
    let file = |(path, metadata): (PathBuf, Metadata)| {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_id(name))?;
        Some(OnDisk {
            image_id: name.to_owned(),
            size: metadata.len(),
            accessed: metadata.accessed().unwrap_or(SystemTime::UNIX_EPOCH),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        })
    };
    Ok(entries(folder)?.into_iter().filter_map(file).collect())
}

#[cfg(test)]
mod tests;
