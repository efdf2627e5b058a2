//! How a finished file gets its final name, on whatever file system, without ever replacing one.
//!
//! There are several calls for that, and file systems differ in which they have and in how they refuse: rclone's answers
//! link(2) with EIO. So the next call is tried whatever the error, unless the name is taken or there is no space.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::unistd::linkat;

/// The calls by which a file gets a name, and by which it is seen whether it has got it.
pub(super) struct Calls {
    link_unnamed: fn(&File, &Path) -> io::Result<()>,
    rename_to_free: fn(&Path, &Path) -> io::Result<()>,
    link: fn(&Path, &Path) -> io::Result<()>,
    rename: fn(&Path, &Path) -> io::Result<()>,
    is_called: fn(&File, &Path) -> io::Result<bool>,
    pub(super) close: fn(File) -> io::Result<()>,
    pub(super) sync_directory_of: fn(&Path) -> io::Result<()>,
    pub(super) remove: fn(&Path) -> io::Result<()>,
}

/// Why a file did not get its name for good.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// It has not got it: there is nothing of that name, or another file.
    #[error(transparent)]
    NotNamed(#[from] io::Error),
    /// It may have got it, and may still have it: a call failed, and the file system does not tell what came of it.
    #[error(transparent)]
    Unknown(io::Error),
}

impl PublishError {
    /// What the call said that failed.
    pub(super) fn cause(&self) -> &io::Error {
        match self {
            Self::NotNamed(error) | Self::Unknown(error) => error,
        }
    }
}

impl Calls {
    /// The kernel's.
    pub(super) const SYSTEM: Self = Self {
        // See open(2) at `O_TMPFILE` for why this goes through /proc: linking the descriptor itself needs a capability.
        link_unnamed: |file, path| {
            let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(linkat(AT_FDCWD, descriptor.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?)
        },
        rename_to_free: |from, to| Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)?),
        link: |from, to| fs::hard_link(from, to),
        rename: |from, to| fs::rename(from, to),
        is_called,
        // Dropping a file would not tell of an error.
        close: |file| Ok(nix::unistd::close(file)?),
        sync_directory_of,
        remove: |path| fs::remove_file(path),
    };

    /// Gives a file without a name this one. False: this file system does not do that.
    ///
    /// # Errors
    /// `AlreadyExists`; no space; unknown.
    pub(super) fn name_unnamed(&self, file: &File, path: &Path) -> Result<bool, PublishError> {
        match self.look((self.link_unnamed)(file, path), file, path) {
            Ok(()) => Ok(true),
            Err(PublishError::NotNamed(error)) if !is_final(&error) => {
                tracing::debug!(path = %path.display(), %error, "a file without a name cannot be given one");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the file that is called `from` the name `to`; the former name may stay.
    ///
    /// # Errors
    /// `AlreadyExists`; no space; unknown; when no call works, the error of rename(2).
    pub(super) fn rename(&self, file: &File, from: &Path, to: &Path) -> Result<(), PublishError> {
        for call in [self.rename_to_free, self.link] {
            match self.look(call(from, to), file, to) {
                Err(PublishError::NotNamed(error)) if !is_final(&error) => {
                    tracing::debug!(path = %to.display(), %error, "trying another way to name a file");
                }
                outcome => return outcome,
            }
        }
        // rename(2) replaces what is there. Nobody else makes a file of this name at the same time but another worker that
        // writes the same image, and the image's row lets one of them do so.
        if to.try_exists()? {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        match self.look((self.rename)(from, to), file, to) {
            // Nothing was there before. Some file systems number a file anew when its name changes.
            Err(PublishError::NotNamed(error)) if !is_missing(to) => Err(PublishError::Unknown(error)),
            outcome => outcome,
        }
    }

    /// What came of a call: one that failed may have taken effect all the same, as only its answer was lost.
    fn look(&self, answer: io::Result<()>, file: &File, path: &Path) -> Result<(), PublishError> {
        let Err(error) = answer else { return Ok(()) };
        match (self.is_called)(file, path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PublishError::NotNamed(error)),
            Err(unseen) => {
                tracing::warn!(path = %path.display(), error = %unseen, "cannot see whether a file has got its name");
                Err(PublishError::Unknown(error))
            }
        }
    }
}

/// Another call would say the same.
fn is_final(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists || is_full(error)
}

/// No space, or none that this user may have.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Whether the path leads to this very file.
pub(super) fn is_called(file: &File, path: &Path) -> io::Result<bool> {
    let named = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let held = file.metadata()?;
    Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Makes durable that a file is there, or is no longer.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory =
        path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)?.sync_all()
}

/// File systems that refuse in their own way.
#[cfg(test)]
pub(super) mod faulty {
    use std::time::SystemTime;

    use super::*;

    fn broken<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    /// An rclone mount: neither links nor renames that replace nothing.
    pub(in super::super) const ONLY_RENAMES: Calls = Calls {
        link_unnamed: |_, _| broken(),
        rename_to_free: |_, _| broken(),
        link: |_, _| broken(),
        ..Calls::SYSTEM
    };

    /// Links, but says that it did not.
    pub(in super::super) const ANSWERS_LOST: Calls = Calls {
        link_unnamed: |file, path| (Calls::SYSTEM.link_unnamed)(file, path).and_then(|()| broken()),
        rename_to_free: |from, to| fs::rename(from, to).and_then(|()| broken()),
        ..ONLY_RENAMES
    };

    /// As [`ANSWERS_LOST`], and then does not answer at all.
    pub(in super::super) const BLIND: Calls = Calls { is_called: |_, _| broken(), ..ANSWERS_LOST };

    /// As [`ONLY_RENAMES`], but says that it did not, and numbers a file anew when its name changes.
    pub(in super::super) const RENUMBERS: Calls = Calls {
        rename: |from, to| fs::rename(from, to).and_then(|()| broken()),
        is_called: |_, _| Ok(false),
        ..ONLY_RENAMES
    };

    /// A mount of an object store, which sends a file on when it is closed, and gives it the time of that.
    pub(in super::super) const SENDS_AT_CLOSE: Calls = Calls {
        close: |file| {
            file.set_modified(SystemTime::UNIX_EPOCH)?;
            (Calls::SYSTEM.close)(file)
        },
        ..ONLY_RENAMES
    };

    /// As [`SENDS_AT_CLOSE`], where the object store refuses the file.
    pub(in super::super) const REFUSES_AT_CLOSE: Calls = Calls { close: |_| broken(), ..ONLY_RENAMES };

    /// Neither makes a name durable nor takes it away.
    pub(in super::super) const STUCK: Calls =
        Calls { sync_directory_of: |_| broken(), remove: |_| broken(), ..Calls::SYSTEM };

    pub(in super::super) const NOT_DURABLE: Calls = Calls { sync_directory_of: |_| broken(), ..Calls::SYSTEM };

    pub(in super::super) const NOTHING_WORKS: Calls = Calls { rename: |_, _| broken(), ..ONLY_RENAMES };

    pub(in super::super) const FULL: Calls = Calls {
        link_unnamed: |_, _| Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        rename_to_free: |_, _| Err(io::Error::from_raw_os_error(libc::EDQUOT)),
        ..Calls::SYSTEM
    };
}
