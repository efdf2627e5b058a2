//! Which file it is that has a name.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// What tells a file from another one that gets its name later: device, inode, and the time of its last change. Many file systems give
/// the inode of a file that has gone to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity(u64, u64, Option<SystemTime>);

impl FileIdentity {
    /// Of the file that has this name now. Blocking.
    ///
    /// # Errors
    /// There is no such file, or it cannot be looked at.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&fs::symlink_metadata(path)?))
    }

    /// Removes the file of this name if it is this one. False: it is another, or there is none. Blocking.
    ///
    /// # Errors
    /// It cannot be looked at, or not be removed.
    pub(crate) fn remove(self, path: &Path) -> io::Result<bool> {
        let removed = match Self::of(path) {
            Ok(found) if found != self => return Ok(false),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino(), metadata.modified().ok())
    }
}
