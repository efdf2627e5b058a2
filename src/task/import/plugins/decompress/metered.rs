//! A file of which no more than so many bytes are read: readers of archives hold headers and directories in memory, and made-up ones
//! would fill that.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use super::Budget;
use crate::task::import::plugins::outcome::PluginError;
use crate::task::import::plugins::watched::Watched;

/// Bytes that may be read to find the one file in an archive.
pub(super) const DIRECTORY: u64 = 4 << 20;

/// Reads no more than its limit allows.
pub(super) struct Metered<'a> {
    file: Watched<'a, File>,
    left: Limit,
}

/// The bytes that may still be read.
#[derive(Clone)]
pub(super) struct Limit(Rc<Cell<u64>>);

impl Limit {
    /// So much may be read from now on.
    pub(super) fn set(&self, bytes: u64) {
        self.0.set(bytes);
    }

    /// Whether all that there is may be read.
    pub(super) fn is_off(&self) -> bool {
        self.0.get() > DIRECTORY
    }
}

impl<'a> Metered<'a> {
    /// A file of which [`DIRECTORY`] bytes may be read, until its limit is set to something else.
    pub(super) fn open(path: &Path, budget: &Budget<'a>) -> Result<(Self, Limit), PluginError> {
        let left = Limit(Rc::new(Cell::new(DIRECTORY)));
        Ok((Self { file: budget.open(path)?, left: left.clone() }, left))
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        let left = self.left.0.get().checked_sub(length as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("the directory of the archive is too large"))?);
        Ok(length)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
