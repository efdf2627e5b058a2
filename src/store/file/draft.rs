//! A file that does not have its final name yet.
//!
//! Where the file system can, it has no name at all (`O_TMPFILE`, open(2)), so that a crash leaves nothing. Elsewhere (NFS,
//! some FUSE file systems) it is called `.glance-drafts/<image>.<random>.part` below its final place and is locked with flock(2)
//! for as long as its writer lives; a sweep, at the start and once an hour, removes those whose lock is free. They have a
//! directory of their own so that a sweep does not read the names of all images.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::FileIdentity;
use super::publish::{Calls, PublishError, is_called, is_full};

/// Where drafts that have a name lie, below the directory of the images. No image can be called so.
const FOLDER: &str = ".glance-drafts";
const SUFFIX: &str = ".part";

/// A draft that was written to within this time is left alone though its lock is free: locks may not reach other machines. Far longer
/// than a client may be silent (`client_socket_timeout`, 15 minutes unless set) and a disk may take to flush.
const YOUNG: Duration = Duration::from_secs(6 * 3600);

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
    /// Dropped before the file, so that its lock holds for as long as it has this name.
    name: Name,
    file: File,
    /// Where it is to be published.
    path: PathBuf,
}

/// Where a draft lies until it is published; dropping it removes the draft from there.
struct Name(Option<PathBuf>);

impl Draft {
    /// Makes an empty draft of the file `name` in `directory`.
    pub(super) fn create(directory: &Path, name: &str, kind: Kind) -> io::Result<Self> {
        let (file, draft) = match kind {
            Kind::Unnamed => (unnamed(directory)?, None),
            Kind::Named => named(directory, name).map(|(file, draft)| (file, Some(draft)))?,
        };
        Ok(Self { name: Name(draft), file, path: directory.join(name) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes the data durable, then gives the file its final name, durably. Never replaces a file (`AlreadyExists`). Gives what tells
    /// the file from a later one of its name.
    pub(super) fn publish(self) -> Result<FileIdentity, PublishError> {
        self.publish_by(&Calls::SYSTEM).map(|(_, identity)| identity)
    }

    /// Tells beside that which kind of draft could be given the name.
    fn publish_by(mut self, calls: &Calls) -> Result<(Kind, FileIdentity), PublishError> {
        self.file.sync_all()?;
        if self.name.0.is_none() && !calls.name_unnamed(&self.file, &self.path)? {
            self.copy_to_named()?;
        }
        let kind = if self.name.0.is_none() { Kind::Unnamed } else { Kind::Named };
        if let Some(draft) = &self.name.0 {
            calls.rename(&self.file, draft, &self.path)?;
        }
        let Self { mut name, file, path } = self;
        // Another link to a draft is removed before the directory is synced, so that one fsync covers both.
        name.remove();
        // Mounts of object stores may send the file on only now, and some do not do so by fsync(2).
        let lasting = (calls.close)(file).and_then(|()| (calls.sync_directory_of)(&path));
        lasting.map_err(|error| match (calls.remove)(&path) {
            Ok(()) => PublishError::NotNamed(error),
            Err(kept) if kept.kind() == io::ErrorKind::NotFound => PublishError::NotNamed(error),
            Err(kept) => {
                tracing::warn!(path = %path.display(), error = %kept, "cannot remove a file that may not last");
                PublishError::Unknown(error)
            }
        })?;
        // Last, as some file systems give a file another number or time when its name changes or it is closed.
        FileIdentity::of(&path).map(|identity| (kind, identity)).map_err(PublishError::Unknown)
    }

    /// For a file system that makes files without a name and then does not give them one.
    fn copy_to_named(&mut self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        let (mut copy, name) = named(directory, &self.path.file_name().unwrap_or_default().to_string_lossy())?;
        self.name = Name(Some(name));
        self.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.file, &mut copy)?;
        copy.set_permissions(self.file.metadata()?.permissions())?;
        copy.sync_all()?;
        self.file = copy;
        Ok(())
    }
}

impl Name {
    fn remove(&mut self) {
        if let Some(name) = self.0.take()
            && let Err(error) = fs::remove_file(&name)
            // It went with the renaming.
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %name.display(), %error, "cannot remove a temporary file");
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Finds out how drafts can be made in a directory, by publishing a small file and removing it. `None` when it cannot be told now:
/// the disk is full.
///
/// # Errors
/// Why no file can be published there, or none be removed, in words for the operator.
pub(super) fn probe(directory: &Path) -> Result<Option<Kind>, String> {
    probe_by(directory, &Calls::SYSTEM)
}

fn probe_by(directory: &Path, calls: &Calls) -> Result<Option<Kind>, String> {
    const CONTENT: &[u8] = b"written at the start of glance-api to see whether images can be stored here\n";
    let name = format!(".glance-probe.{}", uuid::Uuid::new_v4().simple());
    let path = directory.join(&name);
    let published = || -> Result<Kind, PublishError> {
        let draft = Draft::create(directory, &name, Kind::Unnamed);
        let mut draft = draft.or_else(|_| Draft::create(directory, &name, Kind::Named))?;
        io::Write::write_all(&mut draft.file, CONTENT)?;
        draft.publish_by(calls).map(|(kind, _)| kind)
    };
    let place = directory.display();
    let kind = match published() {
        Ok(kind) => kind,
        Err(error) if is_full(error.cause()) => return Ok(None),
        Err(error) => {
            return Err(format!("a file was written in {place} and cannot be given its name for good: {error}"));
        }
    };
    fs::remove_file(&path).map_err(|error| format!("a file in {place} cannot be removed again: {error}"))?;
    Ok(Some(kind))
}

/// Removes the named drafts of writers that are no more.
pub(super) fn remove_leftovers(directory: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(directory.join(FOLDER)) {
        Ok(entries) => entries,
        // No draft ever needed a name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let is_draft = entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX));
        if is_draft && remove_dead(&entry.path())? {
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

fn unnamed(directory: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(directory)
}

fn named(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let folder = directory.join(FOLDER);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for _ in 0..TRIES {
        let path = folder.join(format!("{name}.{}{SUFFIX}", uuid::Uuid::new_v4().simple()));
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::publish::faulty;
    use super::*;

    /// What lies in a directory, drafts included.
    fn names(directory: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for place in [directory.to_owned(), directory.join(FOLDER)] {
            let entries = fs::read_dir(place).into_iter().flatten();
            names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        }
        names.retain(|name| name != FOLDER);
        names.sort();
        names
    }

    fn written(place: &Path, kind: Kind) -> Draft {
        let draft = Draft::create(place, "image", kind).unwrap();
        draft.file().write_all(b"data").unwrap();
        draft
    }

    #[test]
    fn a_published_draft_is_the_only_file() {
        for kind in [Kind::Unnamed, Kind::Named] {
            for calls in [Calls::SYSTEM, faulty::ONLY_RENAMES, faulty::ANSWERS_LOST] {
                let place = tempfile::tempdir().unwrap();
                let draft = written(place.path(), kind);
                assert!(!names(place.path()).contains(&"image".to_owned()));
                draft.publish_by(&calls).unwrap();
                assert_eq!(names(place.path()), ["image"], "{kind:?}");
                assert_eq!(fs::read(place.path().join("image")).unwrap(), b"data");
            }
        }
    }

    #[test]
    fn a_published_file_is_known_by_what_it_is_once_closed() {
        for kind in [Kind::Unnamed, Kind::Named] {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("image");
            let (_, identity) = written(place.path(), kind).publish_by(&faulty::SENDS_AT_CLOSE).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
            assert_eq!(identity, FileIdentity::of(&path).unwrap(), "{kind:?}");

            let place = tempfile::tempdir().unwrap();
            let error = written(place.path(), kind).publish_by(&faulty::REFUSES_AT_CLOSE).unwrap_err();
            assert!(matches!(error, PublishError::NotNamed(_)), "{kind:?} {error:?}");
            assert!(names(place.path()).is_empty(), "{kind:?}: a file that is not durable stays");
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
            for calls in [Calls::SYSTEM, faulty::ONLY_RENAMES] {
                let place = tempfile::tempdir().unwrap();
                let draft = Draft::create(place.path(), "image", kind).unwrap();
                fs::write(place.path().join("image"), "first").unwrap();
                assert_eq!(
                    draft.publish_by(&calls).unwrap_err().cause().kind(),
                    io::ErrorKind::AlreadyExists,
                    "{kind:?}"
                );
                assert_eq!(names(place.path()), ["image"]);
                assert_eq!(fs::read(place.path().join("image")).unwrap(), b"first");
            }
        }
    }

    #[test]
    fn a_draft_that_cannot_be_published_leaves_nothing() {
        for kind in [Kind::Unnamed, Kind::Named] {
            for (calls, errno) in
                [(faulty::NOTHING_WORKS, &[libc::EIO][..]), (faulty::FULL, &[libc::ENOSPC, libc::EDQUOT])]
            {
                let place = tempfile::tempdir().unwrap();
                let error = written(place.path(), kind).publish_by(&calls).unwrap_err();
                assert!(matches!(error, PublishError::NotNamed(_)), "{kind:?} {error:?}");
                assert!(error.cause().raw_os_error().is_some_and(|found| errno.contains(&found)), "{kind:?} {error}");
                assert!(names(place.path()).is_empty(), "{kind:?}");
            }
        }
    }

    #[test]
    fn what_may_have_been_published_is_not_called_gone() {
        for kind in [Kind::Unnamed, Kind::Named] {
            for calls in [faulty::BLIND, faulty::RENUMBERS, faulty::STUCK] {
                let place = tempfile::tempdir().unwrap();
                let error = written(place.path(), kind).publish_by(&calls).unwrap_err();
                assert!(matches!(error, PublishError::Unknown(_)), "{kind:?} {error:?}");
                assert_eq!(error.cause().raw_os_error(), Some(libc::EIO), "{kind:?}");
                assert_eq!(names(place.path()), ["image"], "{kind:?}: the calls took effect");
            }
            let place = tempfile::tempdir().unwrap();
            let error = written(place.path(), kind).publish_by(&faulty::NOT_DURABLE).unwrap_err();
            assert!(matches!(error, PublishError::NotNamed(_)), "{kind:?} {error:?}");
            assert!(names(place.path()).is_empty(), "{kind:?}: it could be removed");
        }
    }

    #[test]
    fn the_probe_publishes_as_an_upload_does_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let probed = |calls| probe_by(place.path(), &calls);
        assert!(probe(place.path()).unwrap().is_some());
        assert_eq!(probed(faulty::ONLY_RENAMES), Ok(Some(Kind::Named)));
        assert_eq!(probed(faulty::FULL), Ok(None));
        for calls in [faulty::NOTHING_WORKS, faulty::NOT_DURABLE, faulty::REFUSES_AT_CLOSE] {
            let words = probed(calls).unwrap_err();
            assert!(words.contains("cannot be given its name for good: Input/output error"), "{words}");
        }
        assert!(names(place.path()).is_empty());
        assert!(probe(&place.path().join("gone")).is_err());
    }

    #[test]
    fn only_dead_drafts_are_removed() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(remove_leftovers(place.path()).unwrap(), 0, "no draft ever had a name");
        let alive = Draft::create(place.path(), "alive", Kind::Named).unwrap();
        alive.file().set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
        let folder = place.path().join(FOLDER);
        let old = |path: PathBuf| File::create(path).unwrap().set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
        old(folder.join("dead.0123.part"));
        old(folder.join("notes"));
        old(place.path().join("0f3e.part"));
        // Of another host's upload, whose client is silent for as long as it may.
        let silent = SystemTime::now() - Duration::from_secs(2 * 900);
        File::create(folder.join("silent.0123.part")).unwrap().set_modified(silent).unwrap();

        assert_eq!(remove_leftovers(place.path()).unwrap(), 1);
        let left = names(place.path());
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(!left.iter().any(|name| name.starts_with("dead")));
    }
}
