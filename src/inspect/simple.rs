//! Formats of which only a 512-byte header matters.

use super::field::{be64, le32, le64};
use super::{Failure, Format, Found, Size};

const HEADER: usize = 512;
const VDI_SIGNATURE: u32 = 0xbeda_107f;

/// VHD, which QEMU calls vpc (`block/vpc.c`): the copy of the footer that dynamic disks have at the start.
pub(super) fn vhd(head: &[u8]) -> Option<Found> {
    if !head.starts_with(b"conectix") {
        return None;
    }
    let complete = head.len() >= HEADER;
    let size = if complete { be64(head, 40) } else { 0 };
    Some(Found { complete, ..Found::new(Format::Vhd, Size::Known(size.into())) })
}

/// VirtualBox's VDI (`block/vdi.c`).
pub(super) fn vdi(head: &[u8]) -> Option<Found> {
    (head.len() >= HEADER && le32(head, 0x40) == VDI_SIGNATURE)
        .then(|| Found::new(Format::Vdi, Size::Known(le64(head, 0x170).into())))
}

/// QEMU's abandoned QED: recognised so that it can be refused. Its size is not read; the stream's counts.
pub(super) fn qed(head: &[u8]) -> Option<Found> {
    (head.len() >= HEADER && head.starts_with(b"QED\0")).then(|| Found {
        failures: vec![Failure::new("banned", "This file format is not allowed")],
        ..Found::new(Format::Qed, Size::StreamWithout(0))
    })
}
