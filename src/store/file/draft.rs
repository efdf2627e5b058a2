//! A file that does not have its final name yet.
//!
//! Where the file system can, it has no name at all (`O_TMPFILE`, open(2)), so that a crash leaves nothing. Elsewhere (NFS,
//! some FUSE file systems) it is called `.glance-<image>.<random>.part` beside its final place and is locked with flock(2)
//! for as long as its writer lives; a sweep, at the start and once a minute, removes those whose lock is free.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::unistd::linkat;

const PREFIX: &str = ".glance-";
const SUFFIX: &str = ".part";

/// A draft this fresh is left alone though its lock is free: locks may not reach other machines, and their writers live.
const YOUNG: Duration = Duration::from_secs(60);

/// How often a draft is made before its directory is given up.
const TRIES: usize = 5;

/// Without locks, a draft that nobody has written for this long is dead.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How drafts are made in a directory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Without a name.
    Unnamed,
    /// With a name of its own.
    Named,
}

/// A file in the making. Dropping it removes it.
pub(super) struct Draft {
    file: File,
    path: PathBuf,
    /// Where it lies until it is published.
    name: Option<PathBuf>,
}

impl Draft {
    /// Makes an empty draft of the file `name` in `directory`.
    pub(super) fn create(directory: &Path, name: &str, kind: Kind) -> io::Result<Self> {
        let (file, draft) = match kind {
            Kind::Unnamed => (unnamed(directory)?, None),
            Kind::Named => named(directory, name).map(|(file, draft)| (file, Some(draft)))?,
        };
        Ok(Self { file, path: directory.join(name), name: draft })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes the data durable, then gives the file its final name, durably. Never replaces a file (`AlreadyExists`).
    pub(super) fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match &self.name {
            None => link_unnamed(&self.file, &self.path)?,
            Some(draft) => {
                if move_named(draft, &self.path)? {
                    self.name = None;
                }
            }
        }
        // Another link to a draft is removed before the directory is synced, so that one fsync covers both.
        self.remove_name();
        sync_directory_of(&self.path).inspect_err(|_| {
            let _ = fs::remove_file(&self.path);
        })
    }

    fn remove_name(&mut self) {
        if let Some(name) = self.name.take()
            && let Err(error) = fs::remove_file(&name)
        {
            tracing::warn!(path = %name.display(), %error, "cannot remove a temporary file");
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.remove_name();
    }
}

/// Finds out how drafts can be made in a directory, by making one. `None` when it cannot be told now (a full disk, say);
/// a named draft works everywhere.
pub(super) fn probe(directory: &Path) -> Option<Kind> {
    let file = match unnamed(directory) {
        Ok(file) => file,
        Err(error) => {
            let unsupported = [libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL, libc::ENOENT];
            return error.raw_os_error().is_some_and(|errno| unsupported.contains(&errno)).then_some(Kind::Named);
        }
    };
    let path = directory.join(draft_name("probe"));
    match link_unnamed(&file, &path) {
        Ok(()) => {
            let _ = fs::remove_file(&path);
            Some(Kind::Unnamed)
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => None,
        Err(_) => Some(Kind::Named),
    }
}

/// Makes durable that a file is there, or is no longer.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory =
        path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)?.sync_all()
}

/// Removes the named drafts of writers that are no more.
pub(super) fn remove_leftovers(directory: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours && remove_dead(&entry.path())? {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes a draft unless its writer may be alive. The lock is held meanwhile, so that no writer can take it.
fn remove_dead(path: &Path) -> io::Result<bool> {
    let Ok(file) = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) else {
        return Ok(false);
    };
    let age = file.metadata().and_then(|metadata| metadata.modified()).ok();
    let age = age.and_then(|modified| SystemTime::now().duration_since(modified).ok()).unwrap_or_default();
    let dead = match file.try_lock() {
        Ok(()) => age >= YOUNG,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => age >= STALE,
    };
    // Another sweep may have been here since.
    if !dead || !is_called(&file, path)? {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true)
}

/// Whether the path leads to this very file.
fn is_called(file: &File, path: &Path) -> io::Result<bool> {
    let named = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let held = file.metadata()?;
    Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
}

fn unnamed(directory: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(directory)
}

fn named(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    for _ in 0..TRIES {
        let path = directory.join(draft_name(name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path)?;
        // A sweep that sees the file before it is locked may take it for dead; then another one is made.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_file(&path);
        } else if is_called(&file, &path)? {
            return Ok((file, path));
        }
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy))
}

fn draft_name(name: &str) -> String {
    format!("{PREFIX}{name}.{}{SUFFIX}", uuid::Uuid::new_v4().simple())
}

/// See open(2) at `O_TMPFILE` for why this goes through /proc: linking the descriptor itself needs a capability.
fn link_unnamed(file: &File, path: &Path) -> io::Result<()> {
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(AT_FDCWD, descriptor.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?)
}

/// Gives a named draft its final name, by whichever call the file system has that replaces nothing. Returns whether the
/// draft's own name is gone with it.
fn move_named(draft: &Path, path: &Path) -> io::Result<bool> {
    match renameat2(AT_FDCWD, draft, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::hard_link(draft, path) {
        Ok(()) => Ok(false),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS)) => {
            if path.try_exists()? {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            fs::rename(draft, path).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_published_draft_is_the_only_file() {
        for kind in [Kind::Unnamed, Kind::Named] {
            let place = tempfile::tempdir().unwrap();
            let draft = Draft::create(place.path(), "image", kind).unwrap();
            draft.file().write_all(b"data").unwrap();
            assert!(!names(place.path()).contains(&"image".to_owned()));
            draft.publish().unwrap();
            assert_eq!(names(place.path()), ["image"], "{kind:?}");
            assert_eq!(fs::read(place.path().join("image")).unwrap(), b"data");
        }
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        for kind in [Kind::Unnamed, Kind::Named] {
            let place = tempfile::tempdir().unwrap();
            drop(Draft::create(place.path(), "image", kind).unwrap());
            assert!(names(place.path()).is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn publishing_replaces_nothing() {
        for kind in [Kind::Unnamed, Kind::Named] {
            let place = tempfile::tempdir().unwrap();
            let draft = Draft::create(place.path(), "image", kind).unwrap();
            fs::write(place.path().join("image"), "first").unwrap();
            assert_eq!(draft.publish().unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{kind:?}");
            assert_eq!(names(place.path()), ["image"]);
            assert_eq!(fs::read(place.path().join("image")).unwrap(), b"first");
        }
    }

    #[test]
    fn probing_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        assert!(probe(place.path()).is_some());
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn only_dead_drafts_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let old = |name: &str| {
            let file = File::create(place.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
        };
        old(".glance-dead.0123.part");
        old("0f3e");
        old(".glance-other");
        File::create(place.path().join(".glance-young.0123.part")).unwrap();
        let alive = Draft::create(place.path(), "alive", Kind::Named).unwrap();
        alive.file().set_modified(SystemTime::now() - 2 * YOUNG).unwrap();

        assert_eq!(remove_leftovers(place.path()).unwrap(), 1);
        let left = names(place.path());
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(!left.iter().any(|name| name.starts_with(".glance-dead")));
    }
}
