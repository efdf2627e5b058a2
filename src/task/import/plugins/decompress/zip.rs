//! ZIP archives of one file.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use ::zip::ZipArchive;

use super::{Budget, STEP, Target, damaged, open, several};
use crate::task::import::plugins::outcome::PluginError;

/// Bytes that may be read to find the one file in an archive. The directory of an archive is held in memory, and a made-up one would
/// fill that.
const DIRECTORY: u64 = 4 << 20;

/// Gives the bytes that came out.
pub(super) fn unpack(path: &Path, target: &Target, budget: &Budget<'_>) -> Result<u64, PluginError> {
    let left = Rc::new(Cell::new(DIRECTORY));
    let metered = Metered { file: open(path)?, left: Rc::clone(&left) };
    let source = BufReader::with_capacity(STEP, metered);
    let mut archive = ZipArchive::new(source).map_err(|error| damaged(&error))?;
    if archive.len() != 1 {
        return Err(several());
    }
    // What follows is the data itself.
    left.set(u64::MAX);
    let mut file = archive.by_index(0).map_err(|error| damaged(&error))?;
    if file.is_dir() {
        return Err(damaged(&"the archive holds a directory"));
    }
    budget.copy(&mut file, target, 0)
}

/// Reads no more than so many bytes.
struct Metered {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        let left = self.left.get().checked_sub(length as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("the directory of the archive is too large"))?);
        Ok(length)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
