//! LHA and LZH archives.

use std::io::BufReader;
use std::path::Path;

use delharc::LhaDecodeReader;

use super::metered::{DIRECTORY, Metered};
use super::{Budget, Output, STEP, damaged, several};
use crate::task::import::plugins::outcome::PluginError;

/// Gives the bytes that came out.
pub(super) fn unpack(path: &Path, target: &Output, budget: &Budget<'_>) -> Result<u64, PluginError> {
    let (metered, left) = Metered::open(path, budget)?;
    let source = BufReader::with_capacity(STEP, metered);
    let mut archive = LhaDecodeReader::new(source).map_err(|error| damaged(&error))?;
    if archive.header().is_directory() {
        return Err(damaged(&"the archive holds a directory"));
    }
    if !archive.is_decoder_supported() {
        return Err(damaged(&"its method of compression is not known"));
    }
    // What follows is the data itself.
    left.set(u64::MAX);
    let size = budget.copy(&mut archive, target, 0)?;
    archive.crc_check().map_err(|error| damaged(&error))?;
    left.set(DIRECTORY);
    match archive.next_file() {
        Ok(false) => Ok(size),
        Ok(true) => Err(several()),
        Err(error) => Err(damaged(&error)),
    }
}
