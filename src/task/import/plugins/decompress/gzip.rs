//! gzip (RFC 1952): one or more members, as Python's `gzip` reads them.

use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::{Budget, Output, STEP, damaged};
use crate::task::import::plugins::outcome::PluginError;

/// Gives the bytes that came out.
pub(super) fn unpack(path: &Path, target: &Output, budget: &Budget<'_>) -> Result<u64, PluginError> {
    let mut source = BufReader::with_capacity(STEP, budget.open(path)?);
    let mut size = 0;
    loop {
        let mut member = GzDecoder::new(&mut source);
        size = budget.copy(&mut member, target, size)?;
        // Zeros may follow, as on a tape.
        if is_at_end(&mut source)? {
            return Ok(size);
        }
    }
}

/// Passes over zeros, and tells whether nothing else is left.
fn is_at_end(source: &mut impl BufRead) -> Result<bool, PluginError> {
    loop {
        let ahead = source.fill_buf().map_err(|error| damaged(&error))?;
        if ahead.is_empty() {
            return Ok(true);
        }
        let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
        let is_member = zeros < ahead.len();
        source.consume(zeros);
        if is_member {
            return Ok(false);
        }
    }
}
