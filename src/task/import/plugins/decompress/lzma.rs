//! A member of a ZIP archive that is compressed by LZMA (APPNOTE.TXT, 5.8.8). The reader of archives would set as much memory aside as the
//! data asks for.

use std::io::Read;

use ::zip::read::ZipFile;
use flate2::CrcReader;
use lzma_rust2::LzmaReader;

use super::{Budget, Output, damaged};
use crate::task::import::plugins::outcome::PluginError;

/// Bytes of a dictionary. Encoders make none that is larger unless they are told to, but any data may ask for four GiB.
const DICTIONARY: u64 = 64 << 20;

/// Bytes before the data: the version of the encoder, the length of what follows, properties, and the size of the dictionary.
const HEAD: usize = 9;

/// Unpacks a member that is given as it is in its archive. Gives the bytes that came out.
pub(super) fn unpack(
    mut member: ZipFile<'_, impl Read>,
    target: &Output,
    budget: &Budget<'_>,
) -> Result<u64, PluginError> {
    if member.encrypted() {
        return Err(damaged(&"Password required to decrypt file"));
    }
    let (size, wanted) = (member.size(), member.crc32());
    let mut data = CrcReader::new(decoder(&mut member, size)?);
    let size = budget.copy(&mut data, target, 0)?;
    if data.crc().sum() == wanted { Ok(size) } else { Err(damaged(&"Invalid checksum")) }
}

/// What comes out of data that says to be so large.
fn decoder<R: Read>(mut data: R, size: u64) -> Result<LzmaReader<R>, PluginError> {
    let mut head = [0; HEAD];
    data.read_exact(&mut head).map_err(|error| damaged(&error))?;
    let [_, _, l0, l1, properties, d0, d1, d2, d3] = head;
    if u16::from_le_bytes([l0, l1]) != 5 {
        return Err(damaged(&"these are no properties of LZMA"));
    }
    // Nothing lies farther back than all that comes out.
    let dictionary = u64::from(u32::from_le_bytes([d0, d1, d2, d3])).min(size);
    let bounded = u32::try_from(dictionary).ok().filter(|_| dictionary <= DICTIONARY);
    let bounded = bounded.ok_or_else(|| {
        PluginError::Refused(format!(
            "The compressed data needs a dictionary of {dictionary} bytes, {DICTIONARY} are allowed."
        ))
    })?;
    LzmaReader::new_with_props(data, size, properties, bounded, None).map_err(|error| damaged(&error))
}
