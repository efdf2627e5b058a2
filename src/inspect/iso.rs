//! ISO 9660 and UDF: volume descriptors from the 17th sector of 2 KiB on.

use super::field::{le16, le32, u8};
use super::{Format, Found, Size};

const SYSTEM_AREA: usize = 32 * 1024;
const DESCRIPTOR: usize = 2 * 1024;
/// A primary volume descriptor, the only one with sizes.
const PRIMARY: u8 = 1;

pub(super) fn find(head: &[u8]) -> Option<Found> {
    let descriptor = head.get(SYSTEM_AREA..SYSTEM_AREA + DESCRIPTOR)?;
    if !matches!(descriptor.get(1..6)?, b"CD001" | b"NSR02" | b"NSR03") {
        return None;
    }
    let size = if u8(descriptor, 0) == PRIMARY {
        // Both numbers are stored in both byte orders; the first half is little-endian.
        u128::from(le32(descriptor, 80)) * u128::from(le16(descriptor, 128))
    } else {
        0
    };
    Some(Found::new(Format::Iso, Size::Known(size)))
}
