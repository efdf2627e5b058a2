//! The queue of images that are to be fetched: one empty file each.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::{FILE_MODE, Layout, list, remove};

impl Layout {
    pub(super) fn queue_entry(&self, id: &str) -> PathBuf {
        self.base.join("queue").join(id)
    }

    /// Queues an image; false: it was queued already.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn queue(&self, id: &str) -> io::Result<bool> {
        let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(self.queue_entry(id));
        match made {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The queued images, oldest first.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn queued(&self) -> io::Result<Vec<String>> {
        let mut queued = list(&self.base.join("queue"))?;
        queued.sort_by(|a, b| (a.modified, &a.image_id).cmp(&(b.modified, &b.image_id)));
        Ok(queued.into_iter().map(|entry| entry.image_id).collect())
    }

    /// Whether an image is queued.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn is_queued(&self, id: &str) -> io::Result<bool> {
        self.queue_entry(id).try_exists()
    }

    /// Takes an image out of the queue. False: it was not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn unqueue(&self, id: &str) -> io::Result<bool> {
        remove(&self.queue_entry(id))
    }
}
