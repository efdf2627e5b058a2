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

/// The calls by which a file gets a name.
pub(super) struct Calls {
    link_unnamed: fn(&File, &Path) -> io::Result<()>,
    rename_to_free: fn(&Path, &Path) -> io::Result<()>,
    link: fn(&Path, &Path) -> io::Result<()>,
    rename: fn(&Path, &Path) -> io::Result<()>,
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
    };

    /// Gives a file without a name this one. False: this file system does not do that.
    ///
    /// # Errors
    /// `AlreadyExists`; no space.
    pub(super) fn name_unnamed(&self, file: &File, path: &Path) -> io::Result<bool> {
        match (self.link_unnamed)(file, path) {
            Ok(()) => Ok(true),
            // The call took effect, and its answer was lost.
            Err(_) if is_called(file, path).unwrap_or(false) => Ok(true),
            Err(error) if is_final(&error) => Err(error),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "a file without a name cannot be given one");
                Ok(false)
            }
        }
    }

    /// Gives the file that is called `from` the name `to`; the former name may stay.
    ///
    /// # Errors
    /// `AlreadyExists`; no space; when no call works, the error of rename(2).
    pub(super) fn rename(&self, file: &File, from: &Path, to: &Path) -> io::Result<()> {
        for call in [self.rename_to_free, self.link] {
            match call(from, to) {
                Ok(()) => return Ok(()),
                Err(_) if is_called(file, to).unwrap_or(false) => return Ok(()),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => tracing::debug!(path = %to.display(), %error, "trying another way to name a file"),
            }
        }
        // rename(2) replaces what is there. Nobody else makes a file of this name at the same time but another worker that
        // writes the same image, and the image's row lets one of them do so.
        if to.try_exists()? {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        match (self.rename)(from, to) {
            Err(_) if is_called(file, to).unwrap_or(false) => Ok(()),
            renamed => renamed,
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

/// File systems that refuse in their own way.
#[cfg(test)]
pub(super) mod faulty {
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

    pub(in super::super) const NOTHING_WORKS: Calls = Calls { rename: |_, _| broken(), ..ONLY_RENAMES };

    pub(in super::super) const FULL: Calls = Calls {
        link_unnamed: |_, _| Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        rename_to_free: |_, _| Err(io::Error::from_raw_os_error(libc::EDQUOT)),
        ..Calls::SYSTEM
    };
}
