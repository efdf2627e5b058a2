//! A record on local disk of each upload in progress, so that a crash leaves nothing behind.
//!
//! The image row says `saving` while data is written; when a worker is killed nobody would ever turn it back. So each upload
//! holds a file of its own under the state directory, named after the image and locked with flock(2) for as long as the worker
//! lives. The lock goes with the process however it ends, so a file without a lock is an upload that died: recovery takes the
//! lock, removes the data from the store, puts the image back to `queued` and removes the file. Several workers of one
//! machine may recover at once, the lock lets one of them have each file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// The files of one database; workers that share a database and a state directory share them.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
}

/// An upload or deletion in progress. Dropping it without [`Entry::finish`] leaves the file for recovery.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    lock: Flock<File>,
}

/// What a worker that died left.
#[derive(Debug)]
pub struct Leftover {
    pub image_id: String,
    /// Where its data may lie.
    pub places: Vec<String>,
    pub entry: Entry,
}

impl Journal {
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Begins an entry for an image whose data lies, or will lie, at one or several of `places` (URLs). When it returns the
    /// entry is on disk: what the caller does next must not outlive it in a crash of the machine. Blocking.
    ///
    /// # Errors
    /// The file cannot be made; `WouldBlock` if another worker of this machine works on the same image.
    pub fn begin(&self, image_id: &str, places: &[String]) -> io::Result<Entry> {
        let path = self.folder.join(image_id);
        let lock = try_lock(File::options().write(true).create(true).truncate(false).open(&path)?)?;
        if !same_file(&path, &lock)? {
            // The one who had it finished between the open and the lock; the image is busy all the same.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        lock.set_len(0)?;
        for place in places {
            (&*lock).write_all(format!("{place}\n").as_bytes())?;
        }
        lock.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok(Entry { path, lock })
    }

    /// The entries whose workers are gone, each locked for the caller. Blocking.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn leftovers(&self) -> io::Result<Vec<Leftover>> {
        let mut found = Vec::new();
        for item in fs::read_dir(&self.folder)? {
            let path = item?.path();
            if let Some(leftover) = take(&path)? {
                found.push(leftover);
            }
        }
        Ok(found)
    }
}

impl Entry {
    /// The work is done, or undone: the file goes.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn finish(self) -> io::Result<()> {
        let removed = fs::remove_file(&self.path);
        drop(self.lock);
        removed
    }
}

fn try_lock(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))
}

fn take(path: &Path) -> io::Result<Option<Leftover>> {
    let Some(image_id) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { return Ok(None) };
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lock = match try_lock(file) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    // Its worker may have finished between the open and the lock: then the name is gone, or is another file.
    if !same_file(path, &lock)? {
        return Ok(None);
    }
    let places = io::read_to_string(&*lock)?.lines().map(str::to_owned).collect();
    Ok(Some(Leftover { image_id, places, entry: Entry { path: path.to_owned(), lock } }))
}

fn same_file(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let named = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let held = file.metadata()?;
    Ok(named.ino() == held.ino() && named.dev() == held.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_entry_leaves_nothing_and_an_abandoned_one_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("uploads")).unwrap();
        journal.begin("one", &[]).unwrap().finish().unwrap();
        drop(journal.begin("two", &["file:///a/two".to_owned(), "file:///b/two".to_owned()]).unwrap());

        let found = journal.leftovers().unwrap();
        assert_eq!(found.len(), 1);
        let leftover = found.into_iter().next().unwrap();
        assert_eq!(leftover.image_id, "two");
        assert_eq!(leftover.places, ["file:///a/two", "file:///b/two"]);
        leftover.entry.finish().unwrap();
        assert!(journal.leftovers().unwrap().is_empty());
    }

    #[test]
    fn an_entry_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().to_owned()).unwrap();
        let held = journal.begin("one", &[]).unwrap();
        assert!(journal.leftovers().unwrap().is_empty());
        assert_eq!(journal.begin("one", &[]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        held.finish().unwrap();
    }
}
