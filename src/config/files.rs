//! Whether the files that options name are still the same.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The states of some files, or that they are not there: equal while nobody replaces one or writes to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStates(Vec<Option<State>>);

/// Device, inode, size, and time of the last change in seconds and nanoseconds (stat(2)).
type State = (u64, u64, u64, i64, i64);

impl FileStates {
    /// Looks at the files; blocks.
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut states = Self::default();
        for path in paths {
            states.note(path.as_ref());
        }
        states
    }

    /// Those, and others behind them.
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Looks at one more file, which is to be read after that: what changes in between is another state than this one. Blocks.
    pub fn note(&mut self, path: &Path) {
        self.0.push(state(path).ok());
    }
}

fn state(path: &Path) -> io::Result<State> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_another_once_it_is_written_to_replaced_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&path, "one").unwrap();
        let states = || FileStates::read([&path, &other]);
        let before = states();
        assert_eq!(before, states());
        fs::write(&path, "longer").unwrap();
        let written = states();
        assert_ne!(before, written);
        fs::write(&other, "longer").unwrap();
        assert_ne!(written, states());
        fs::rename(&other, &path).unwrap();
        assert_ne!(written, states());
        fs::remove_file(&path).unwrap();
        assert_ne!(written, states());
    }
}
