//! Looking at files, and opening them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::super::{FileIdentity, FileRegion, OpenFile, StoreError};

/// The start of a file that the kernel is asked to read before anybody sends it.
const READ_AHEAD: u64 = 8 * 1024 * 1024;

/// Opens a file for reading.
pub(super) fn open(path: &str, range: Option<Range<u64>>) -> Result<FileRegion, StoreError> {
    let fault = |error| reading("opening", path, error);
    // O_NONBLOCK: opening a pipe that somebody put there must not wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    if !metadata.is_file() {
        return Err(StoreError::BadLocation { reason: "The location is not a regular file".to_owned() });
    }
    let range = range.unwrap_or(0..u64::MAX);
    let offset = range.start.min(metadata.len());
    let length = range.end.min(metadata.len()).saturating_sub(offset);
    advise(&file, offset, length);
    Ok(FileRegion { file: OpenFile::shared(file), offset, length })
}

/// Twice the read-ahead window, and the start at once. Only hints: a failure costs time at most.
fn advise(file: &File, offset: u64, length: u64) {
    let signed = |value: u64| i64::try_from(value).unwrap_or(0);
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    let start = length.min(READ_AHEAD);
    let _ = posix_fadvise(file, signed(offset), signed(start), PosixFadviseAdvice::POSIX_FADV_WILLNEED);
}

pub(super) fn reading(doing: &str, path: &str, source: io::Error) -> StoreError {
    if is_missing(&source) {
        return StoreError::NotFound { image: path.to_owned() };
    }
    StoreError::system(format!("{doing} {path}"), source)
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The file that has this name, or to which a link of this name leads. `None`: there is none.
pub(super) fn identity(path: &str) -> Result<Option<FileIdentity>, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(FileIdentity::from(&metadata))),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(reading("looking at", path, error)),
    }
}
