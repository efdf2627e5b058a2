//! ZIP archives of one file.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ::zip::{CompressionMethod, ZipArchive};

use super::metered::{DIRECTORY, Limit, Metered};
use super::{Budget, Output, STEP, damaged, lzma, several};
use crate::task::import::plugins::outcome::PluginError;

/// Entries of a directory for which the reader of archives may set memory aside; the directories of archives without ZIP64 cannot say
/// more.
const ENTRIES: u64 = 0xffff;

/// The signature of the ZIP64 end of central directory record (APPNOTE.TXT, 4.3.14).
const END64: &[u8] = b"PK\x06\x06";

/// Bytes of that record up to the number of entries and with it.
const END64_LENGTH: usize = 40;

/// Gives the bytes that came out.
pub(super) fn unpack(path: &Path, target: &Output, budget: &Budget<'_>) -> Result<u64, PluginError> {
    let (metered, left) = Metered::open(path, budget)?;
    let length = std::fs::metadata(path).map_err(PluginError::io("looking at the staged data"))?.len();
    let checked = Checked { inner: metered, left: left.clone(), length, position: 0, tail: Vec::new() };
    let source = BufReader::with_capacity(STEP, checked);
    let mut archive = ZipArchive::new(source).map_err(|error| damaged(&error))?;
    if archive.len() != 1 {
        return Err(several());
    }
    // What follows is the data itself.
    left.set(u64::MAX);
    let member = archive.by_index_raw(0).map_err(|error| damaged(&error))?;
    if member.is_dir() {
        return Err(damaged(&"the archive holds a directory"));
    }
    if member.compression() == CompressionMethod::LZMA {
        return lzma::unpack(member, target, budget);
    }
    drop(member);
    let mut file = archive.by_index(0).map_err(|error| damaged(&error))?;
    budget.copy(&mut file, target, 0)
}

/// Refuses a ZIP64 record that makes the reader of archives set more memory aside than there may be. The reader looks for the records
/// in its own way; here whatever it reads is looked at.
struct Checked<'a> {
    inner: Metered<'a>,
    left: Limit,
    /// Bytes of the file.
    length: u64,
    position: u64,
    /// The last bytes that were read, as a record may begin in them.
    tail: Vec<u8>,
}

impl Checked<'_> {
    fn check(&mut self, piece: &[u8]) -> io::Result<()> {
        self.tail.extend_from_slice(piece);
        if self.tail.windows(END64_LENGTH).any(|record| is_greedy(record, self.length)) {
            return Err(io::Error::other("the directory of the archive is too large"));
        }
        self.tail.drain(..self.tail.len().saturating_sub(END64_LENGTH - 1));
        Ok(())
    }
}

/// Whether bytes begin a ZIP64 record that is too large, or speaks of too many entries.
fn is_greedy(record: &[u8], length: u64) -> bool {
    let number = |at: usize| record.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let (size, entries) = (number(4), number(32));
    // A record that is longer than its file is none, but something else that looks like its first bytes.
    record.starts_with(END64)
        && size.is_some_and(|size| size <= length)
        && (size > Some(DIRECTORY) || entries > Some(ENTRIES))
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.position += length as u64;
        if !self.left.is_off() {
            self.check(buffer.get(..length).unwrap_or_default())?;
        }
        Ok(length)
    }
}

impl Seek for Checked<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = self.inner.seek(to)?;
        if position != self.position {
            self.tail.clear();
        }
        self.position = position;
        Ok(position)
    }
}
