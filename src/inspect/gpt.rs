//! A partition table in the first sector: a plain MBR, or the protective MBR of a GPT (UEFI specification, chapter 5).

use super::field::{bytes, le16, le32, u8};
use super::{Failure, Format, Found, Size};

const SECTOR: usize = 512;
const SIGNATURE: u16 = 0xaa55;
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const TYPE_PROTECTIVE: u8 = 0xee;
const MEDIA_FIXED_DISK: u8 = 0xf8;

pub(super) fn find(head: &[u8]) -> Option<Found> {
    let sector = head.get(..SECTOR)?;
    if le16(sector, 510) != SIGNATURE || is_fat(sector) {
        return None;
    }
    let failures = check_partitions(sector).err().into_iter().collect();
    Some(Found { failures, ..Found::new(Format::Gpt, Size::StreamWithout(0)) })
}

/// A FAT file system's boot sector bears the same signature.
fn is_fat(sector: &[u8]) -> bool {
    u8(sector, 0x10) == 2 && u8(sector, 0x15) == MEDIA_FIXED_DISK
}

fn check_partitions(sector: &[u8]) -> Result<(), Failure> {
    let fail = |reason: &'static str| Err(Failure::new("mbr", reason));
    let mut used = Vec::new();
    let mut protective = false;
    for (index, entry) in sector.get(ENTRIES..).unwrap_or_default().chunks_exact(ENTRY).take(4).enumerate() {
        if !matches!(u8(entry, 0), 0x00 | 0x80) {
            return Err(Failure::new("mbr", format!("MBR PTE {index} has invalid boot flag")));
        }
        let kind = u8(entry, 4);
        if kind != 0 {
            used.push(index);
        }
        if kind == TYPE_PROTECTIVE {
            protective = true;
            if bytes(entry, 1) != [0x00, 0x02, 0x00] {
                return fail("GPT MBR has invalid start CHS");
            }
            if le32(entry, 8) != 1 {
                return fail("GPT MBR has invalid start LBA");
            }
        }
    }
    if protective && used != [0] {
        return fail("GPT MBR defines invalid extra partitions");
    }
    if used.is_empty() {
        return fail("GPT MBR has no partitions defined");
    }
    Ok(())
}
