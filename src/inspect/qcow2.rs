//! QEMU's qcow2 (`docs/interop/qcow2.txt`).

use super::field::{be32, be64, bytes};
use super::{Failure, Format, Found, Size};

const HEADER: usize = 512;
const MAGIC: &[u8] = b"QFI\xfb";
/// Offset of the incompatible features, a big-endian bit field of 64 bits.
const FEATURES: usize = 72;
/// Bit 2: the data lies in another file.
const DATA_FILE: u64 = 1 << 2;
/// Bits 0 to 3 (dirty, corrupt, data file, compression type) are understood.
const KNOWN_FEATURES: u64 = 0b1111;

pub(super) fn find(head: &[u8]) -> Option<Found> {
    if head.len() < HEADER || !head.starts_with(MAGIC) {
        return None;
    }
    let mut found = Found::new(Format::Qcow2, Size::Known(be64(head, 24).into()));
    let features = u64::from_be_bytes(bytes(head, FEATURES));
    if be64(head, 8) != 0 {
        found.failures.push(Failure::new("backing_file", "Image has a backing file"));
    }
    // Upstream looks at the bit whatever the version says, so a lying version does not hide it.
    if features & DATA_FILE != 0 {
        found.failures.push(Failure::new("data_file", "Image has data_file set"));
    }
    match be32(head, 4) {
        // Version 2 has no feature bits.
        2 => {}
        3 if features & !KNOWN_FEATURES == 0 => {}
        3 => found.failures.push(Failure::new("unknown_features", "Unknown QCOW2 features found")),
        _ => found.failures.push(Failure::new("unknown_features", "Unsupported qcow2 version")),
    }
    Some(found)
}
