//! What the caches of all workers of a host have done, beyond the life of each.
//!
//! Each worker writes its counters to a file of its own in `<image_cache_dir>/.stats/`, which it holds locked with flock(2). A worker
//! that starts takes over the file of one that has gone, and adds to it. The files lie in a folder because upstream's drivers take every
//! file beside the images for an image.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Cache;
use super::blocking::{blocking, is_passing};
use super::error::Error;
use super::stats::Stats;

const FOLDER: &str = ".stats";

/// Bytes of a file. It is written in place and at once, so that a reader sees the old numbers or the new ones.
const LENGTH: usize = 512;

/// More workers than these are not counted.
const MOST_WORKERS: u32 = 1024;

/// The file of this worker, once it has one.
#[derive(Debug, Default)]
pub(super) struct Totals(Mutex<Option<OwnFile>>);

#[derive(Debug)]
struct OwnFile {
    file: File,
    /// What those have done whose file it was.
    before: Stats,
}

impl Cache {
    /// Writes down what the cache of this process has done so far. A disk that cannot be written to is no error.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn write_totals(&self) -> Result<(), Error> {
        let inner = self.inner.clone();
        let written = blocking(move || inner.totals.write(inner.layout.base(), &inner.counters.read())).await;
        match written {
            Err(error) if is_passing(&error) => {
                self.inner.warn_of_directory(&error);
                Ok(())
            }
            written => Ok(written?),
        }
    }
}

/// The sums over all workers that ever used the cache in this directory; the latest seconds of those that run are missing. Blocks.
///
/// # Errors
/// The files cannot be read. That there are none yet is no error.
pub(crate) fn totals_of_host(directory: &Path) -> io::Result<Stats> {
    let entries = match fs::read_dir(directory.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stats::default()),
        entries => entries?,
    };
    let mut sum = Stats::default();
    for entry in entries {
        sum = sum.plus(&read(&File::open(entry?.path())?)?);
    }
    Ok(sum)
}

impl Totals {
    fn write(&self, directory: &Path, now: &Stats) -> io::Result<()> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match &mut *taken {
            Some(taken) => taken,
            none => match OwnFile::take(&directory.join(FOLDER))? {
                Some(file) => none.insert(file),
                None => return Ok(()),
            },
        };
        let mut text = serde_json::to_vec(&taken.before.plus(now))?;
        text.resize(LENGTH, b' ');
        taken.file.write_all_at(&text, 0)
    }
}

impl OwnFile {
    /// Takes the first file that no living worker has. `None`: there are too many workers.
    fn take(folder: &Path) -> io::Result<Option<Self>> {
        match DirBuilder::new().mode(0o750).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for number in 0..MOST_WORKERS {
            let path: PathBuf = folder.join(number.to_string());
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o640).open(path)?;
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { before: read(&file)?, file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// What is in a file; nothing in one that is new, or that makes no sense.
fn read(file: &File) -> io::Result<Stats> {
    let mut text = [0; LENGTH];
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    let text = text.get(..length).unwrap_or_default();
    Ok(serde_json::from_slice(text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(hits: u64) -> Stats {
        Stats { hits, bytes_served: hits * 1_000_000_000_000, ..Stats::default() }
    }

    #[test]
    fn counts_go_on_where_a_worker_has_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, sum) = (directory.path(), || totals_of_host(directory.path()).unwrap());
        assert_eq!(sum(), Stats::default());
        let (first, second) = (Totals::default(), Totals::default());
        first.write(path, &stats(3)).unwrap();
        second.write(path, &stats(10)).unwrap();
        first.write(path, &stats(4)).unwrap();
        assert_eq!(sum(), stats(14));
        drop(first);
        let third = Totals::default();
        third.write(path, &stats(0)).unwrap();
        third.write(path, &stats(100)).unwrap();
        assert_eq!(sum(), stats(114));
        assert_eq!(fs::read_dir(path.join(FOLDER)).unwrap().count(), 2);
        // Upstream's drivers see no file.
        assert!(fs::read_dir(path).unwrap().all(|entry| entry.unwrap().file_type().unwrap().is_dir()));
    }

    #[test]
    fn what_makes_no_sense_counts_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("0"), "{\"hits\": -1").unwrap();
        assert_eq!(totals_of_host(directory.path()).unwrap(), Stats::default());
        Totals::default().write(directory.path(), &stats(2)).unwrap();
        assert_eq!(totals_of_host(directory.path()).unwrap(), stats(2));
    }
}
