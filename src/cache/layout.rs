//! The directory of the cache: what is in which folder, and whose a file is.
//!
//! Laid out as upstream does (`glance/image_cache/drivers/base.py`): `<directory>/<image id>` is a whole image, `incomplete/<image id>` one
//! that is being written, `invalid/<image id>` one that turned out to be wrong, `queue/<image id>` says that one is
//! to be fetched. Two folders are ours alone: `.reserved/` (see [`reservation`]) and `.stats/`.
//!
//! Processes agree by flock(2), which ends with its process: the writer of an incomplete file holds an exclusive lock on it, and
//! whoever reads a cached file a shared one, so that nobody takes it for unused. *Ours* is a file whose exclusive lock this process
//! holds, and *followers* are processes that read an incomplete one which is another's. What they and its writer tell each other is in
//! [`locks`] and [`writer_state`]. Everything here blocks on the file system.

mod locks;
mod names;
mod queue;
mod removal;
mod reservation;
mod takeover;
mod writer_state;

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::blocking::is_passing;
use crate::store::OpenFile;

pub(super) use removal::{Evicted, Usage};
pub(super) use takeover::{BEAT, FROZEN, Left, STOPPED, TakeOver};
pub(super) use writer_state::WriterState;

use names::{entries, is_at, move_own, remove, remove_own};

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
    Write(Arc<OpenFile>),
    /// Following its writer: another process, or another configuration of this one.
    Follow(Arc<OpenFile>),
    /// Asking again soon: its writer is giving up, or is dead and one of its followers about to go on.
    Wait,
    /// Nothing: it is there already, with so many bytes.
    Cached { file: Arc<OpenFile>, size: u64 },
    /// Nothing: what lies in its place is not ours to use or to remove.
    Foreign(io::Error),
}

/// Why a whole file did not become a cached image.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error("making the data durable: {0}")]
    NotDurable(#[source] io::Error),
    #[error("somebody removed the file while it was written")]
    Removed,
    #[error("giving the file its name: {0}")]
    Directory(#[from] io::Error),
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
                    Err(error) if !is_passing(&error) => return Ok(Begun::Foreign(error)),
                    opened => opened?,
                },
                opened => opened?,
            };
            if !file.metadata()?.is_file() {
                return Ok(Begun::Foreign(not_a_regular_file()));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if is_at(&file, &path) => {
                    // Without such locks it is followed unseen.
                    let is_followed = locks::follow(&file).unwrap_or(true);
                    return Ok(if is_followed { Begun::Follow(OpenFile::shared(file)) } else { Begun::Wait });
                }
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if !is_at(&file, &path) {
                continue;
            }
            // Else it is of a writer that is dead.
            let is_begun = file.metadata()?.len() > 0;
            if is_begun && Self::has_heir(&file) {
                return Ok(Begun::Wait);
            }
            self.release(&file);
            if is_begun {
                // Others may still read what it has written, so the file is not written to again.
                remove(&path)?;
                continue;
            }
            let found = match self.open(id) {
                Ok(None) => return Ok(Begun::Write(OpenFile::shared(file))),
                Ok(Some(cached)) => {
                    let size = cached.metadata()?.len();
                    Ok(Begun::Cached { file: OpenFile::shared(cached), size })
                }
                Err(error) if is_passing(&error) => Err(error),
                Err(error) => Ok(Begun::Foreign(error)),
            };
            remove(&path)?;
            return found;
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Keeps others from following a file that is ours, before it is given up. False: somebody on this host does already.
    pub(super) fn close_to_followers(file: &File) -> bool {
        // Without such locks nobody is seen.
        locks::close_to_followers(file).unwrap_or(true)
    }

    /// Takes back what this process says by its lock: of its own file, that nobody may follow ([`Self::close_to_followers`]), and of
    /// another's, that it follows.
    pub(super) fn unlock_followed(file: &File) {
        // There are no followers without such locks.
        let _ = locks::unlock_followed(file);
    }

    /// Makes a whole, verified file a cached image; it is one, durably, when this returns. Its lock becomes that of a reader.
    ///
    /// # Errors
    /// Why the image is not cached, or not durably.
    pub(super) fn commit(&self, id: &str, file: &File) -> Result<(), CommitError> {
        self.commit_with(id, file, |folder| File::open(folder)?.sync_all())
    }

    fn commit_with(
        &self,
        id: &str,
        file: &File,
        sync_folder: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), CommitError> {
        file.sync_all().map_err(CommitError::NotDurable)?;
        self.release(file);
        if !move_own(file, &self.incomplete(id), &self.image(id))? {
            return Err(CommitError::Removed);
        }
        if let Err(error) = sync_folder(&self.base) {
            // Its name alone makes it an image of the cache. Where that stays, readers must still learn that it is not durable.
            let _ = remove_own(file, &self.image(id));
            return Err(CommitError::NotDurable(error));
        }
        let _ = file.try_lock_shared();
        // It is in the cache, whatever becomes of the wish for it.
        let _ = remove(&self.queue_entry(id));
        Ok(())
    }

    /// Removes an incomplete file that is ours, and tells its followers that nobody goes on with it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn abandon(&self, id: &str, file: &File) -> io::Result<()> {
        self.release(file);
        let removed = remove_own(file, &self.incomplete(id));
        // Readers of this process may have it open for long, and the lock with it.
        file.unlock()?;
        removed
    }

    /// Puts a cached file that cannot be what it is called among the invalid ones.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn invalidate(&self, id: &str, file: &File) -> io::Result<()> {
        self.put_aside(id, file, &self.image(id))
    }

    fn put_aside(&self, id: &str, file: &File, from: &Path) -> io::Result<()> {
        let place = self.invalid(id);
        remove(&place)?;
        move_own(file, from, &place).map(drop)
    }

    /// The whole images, in no order.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn images(&self) -> io::Result<Vec<OnDisk>> {
        list(&self.base)
    }

    /// The file of a whole image. Nothing has one that no image can be called.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn find(&self, id: &str) -> io::Result<Option<OnDisk>> {
        if !is_id(id) {
            return Ok(None);
        }
        match fs::symlink_metadata(self.image(id)) {
            Ok(metadata) => Ok(metadata.is_file().then(|| OnDisk::new(id, &metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
}

impl OnDisk {
    fn new(id: &str, metadata: &Metadata) -> Self {
        Self {
            image_id: id.to_owned(),
            size: metadata.len(),
            accessed: metadata.accessed().unwrap_or(SystemTime::UNIX_EPOCH),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

/// Whether a text can be the id of an image, and so the name of a file here. Others are not ours (lock files, databases), whatever they are.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn not_a_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file")
}

fn list(folder: &Path) -> io::Result<Vec<OnDisk>> {
    let file = |(path, metadata): (PathBuf, Metadata)| {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_id(name))?;
        Some(OnDisk::new(name, &metadata))
    };
    Ok(entries(folder)?.into_iter().filter_map(file).collect())
}

#[cfg(test)]
mod tests;
