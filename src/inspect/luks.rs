//! LUKS version 1 (cryptsetup's on-disk format specification). Nobody gives us the passphrase, so what lies inside stays unknown.

use super::field::{be16, be32};
use super::{Failure, Format, Found, Size};

const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// The header with its eight key slots.
const HEADER: usize = 592;
/// As far as the fields go that give the size.
const FIELDS: usize = 168;
const SECTOR: u64 = 512;

pub(super) fn find(head: &[u8]) -> Option<Found> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    let size =
        if head.len() < FIELDS { Size::Broken } else { Size::StreamWithout(u64::from(be32(head, 104)) * SECTOR) };
    let mut found = Found { complete: head.len() >= HEADER, ..Found::new(Format::Luks, size) };
    let version = be16(head, 6);
    if found.complete && version != 1 {
        found.failures.push(Failure::new("version", format!("LUKS version {version} is not supported")));
    }
    Some(found)
}
