//! Which file it is that has a name.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// What tells a file from another one that gets its name later: device, inode, and the time of its last change. Many file systems give
/// the inode of a file that has gone to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    modified: Option<SystemTime>,
}

/// What came of removing a file by its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Removed,
    /// Another file has its name, and stays. Or it is the same one, where the file system has changed its inode or its time by itself.
    Another,
    /// There is no file of its name.
    Missing,
}

impl FileIdentity {
    /// Of the file that has this name now. Blocking.
    ///
    /// # Errors
    /// There is no such file, or it cannot be looked at.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&fs::symlink_metadata(path)?))
    }

    /// Removes the file of this name if it is this one. Blocking.
    ///
    /// # Errors
    /// It cannot be looked at, or not be removed.
    pub(crate) fn remove(self, path: &Path) -> io::Result<Removal> {
        let removed = match Self::of(path) {
            Ok(found) if found != self => return Ok(Removal::Another),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removal::Missing),
            removed => removed.map(|()| Removal::Removed),
        }
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), modified: metadata.modified().ok() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_goes_only_as_long_as_it_is_the_same() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, "data").unwrap();
        let identity = FileIdentity::of(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified + Duration::from_secs(1)).unwrap();
        assert_eq!(identity.remove(&path).unwrap(), Removal::Another);
        file.set_modified(modified).unwrap();
        assert_eq!(identity.remove(&path).unwrap(), Removal::Removed);
        assert_eq!(identity.remove(&path).unwrap(), Removal::Missing);
        assert!(identity.remove(&path.join("below")).is_ok_and(|removal| removal == Removal::Missing));
        fs::write(&path, "data").unwrap();
        assert!(identity.remove(&path.join("below")).is_err(), "it cannot be looked at");
    }
}
