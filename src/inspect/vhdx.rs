//! Microsoft's VHDX (MS-VHDX): a region table names the metadata region, whose table names the item with the disk's size.
//!
//! The tables are followed while the stream passes. What lies behind the point that the stream has reached when it is first named is
//! lost; the image then counts as incomplete. The stream is looked at in blocks of 64 KiB, so that the point does not depend on how
//! the stream was cut.

use super::field::{bytes, le16, le32, le64};
use super::{Format, Found, Size};

/// Bytes of a block, of the region table, and of the longest metadata table.
pub(super) const BLOCK: usize = 64 * 1024;
const REGION_TABLE: u64 = 192 * 1024;
const ENTRY: usize = 32;
const REGION_TABLE_HEADER: usize = 16;
const METADATA_TABLE_HEADER: usize = 32;
const ENTRIES_MAX: u32 = 2047;
/// 8B7CA206-4790-4B9A-B8FE-575F050F886E as Microsoft stores it.
const METADATA_REGION: [u8; 16] =
    [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
/// 2FA54224-CD1B-4876-B211-5DBED83BF4B8 as Microsoft stores it.
const VIRTUAL_DISK_SIZE: [u8; 16] =
    [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8];

/// The parser between two pieces of the stream.
#[derive(Debug)]
pub(super) enum Vhdx {
    /// Something else.
    No,
    /// Nothing more of the stream is needed.
    Done(Found),
    Reading(Reading),
}

#[derive(Debug)]
pub(super) struct Reading {
    stage: Stage,
    /// Start of the block that is being collected.
    block_at: u64,
    /// What has come of it, where it did not come in one piece.
    block: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Regions,
    Metadata(Region),
    Size(Region),
    /// Complete, with what is known of the size.
    Known(Size),
    /// What is wanted has gone by.
    Lost,
}

/// A part of the stream that is being collected.
#[derive(Debug)]
struct Region {
    offset: u64,
    length: usize,
    data: Vec<u8>,
}

impl Vhdx {
    /// Looks at the first block of the stream, or all of it if it is shorter.
    pub(super) fn begin(head: &[u8]) -> Self {
        if !head.starts_with(b"vhdxfile") {
            return Self::No;
        }
        Self::Reading(Reading { stage: Stage::Regions, block_at: REGION_TABLE, block: Vec::new() })
    }

    /// Takes the next piece, which starts at byte `at` of the stream.
    pub(super) fn feed(&mut self, at: u64, chunk: &[u8]) {
        if let Self::Reading(reading) = self {
            reading.feed(at, chunk);
            if let Some(found) = reading.found() {
                *self = Self::Done(found);
            }
        }
    }

    /// The stream has ended after `total` bytes.
    pub(super) fn finish(self, total: u64) -> Option<Found> {
        match self {
            Self::No => None,
            Self::Done(found) => Some(found),
            Self::Reading(mut reading) => {
                let rest = std::mem::take(&mut reading.block);
                if !rest.is_empty() {
                    reading.step(reading.block_at, &rest);
                }
                // Upstream is also shown the empty read that tells the end.
                reading.step(total, &[]);
                Some(reading.found().unwrap_or_else(incomplete))
            }
        }
    }

    /// Whether the rest of the stream can change nothing.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(self, Self::Reading(_))
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Reading(reading) => reading.block.capacity() + reading.stage.held(),
            Self::No | Self::Done(_) => 0,
        }
    }
}

impl Reading {
    /// Cuts the stream into blocks, without a copy where a whole block is at hand.
    fn feed(&mut self, at: u64, chunk: &[u8]) {
        let mut at = at;
        let mut rest = chunk;
        while !rest.is_empty() && self.found().is_none() {
            self.block_at = self.block_at.max(self.stage.next_block());
            let start = self.block_at + self.block.len() as u64;
            if at < start {
                let skip = usize::try_from(start - at).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(skip..).unwrap_or_default();
                at += skip as u64;
                continue;
            }
            let (piece, more) = rest.split_at((BLOCK - self.block.len()).min(rest.len()));
            rest = more;
            at += piece.len() as u64;
            if piece.len() == BLOCK {
                self.step(self.block_at, piece);
                self.block_at += BLOCK as u64;
                continue;
            }
            self.block.extend_from_slice(piece);
            if self.block.len() == BLOCK {
                let mut block = std::mem::take(&mut self.block);
                self.step(self.block_at, &block);
                self.block_at += BLOCK as u64;
                block.clear();
                self.block = block;
            }
        }
    }

    fn found(&self) -> Option<Found> {
        match self.stage {
            Stage::Known(size) => Some(Found::new(Format::Vhdx, size)),
            Stage::Lost => Some(incomplete()),
            Stage::Regions | Stage::Metadata(_) | Stage::Size(_) => None,
        }
    }

    /// Looks at the block that starts at `at`; the last of a stream may be short.
    fn step(&mut self, at: u64, block: &[u8]) {
        let next = match &mut self.stage {
            Stage::Regions if at == REGION_TABLE && block.len() == BLOCK => Some(find_metadata_region(block)),
            Stage::Metadata(region) => {
                region.collect(at, block);
                find_size_item(region, at, block)
            }
            Stage::Size(region) => {
                region.collect(at, block);
                region.is_full().then(|| Stage::Known(read_size(&region.data)))
            }
            Stage::Regions | Stage::Known(_) | Stage::Lost => None,
        };
        if let Some(stage) = next {
            self.stage = stage;
        }
    }
}

impl Stage {
    /// Start of the first block that can matter.
    fn next_block(&self) -> u64 {
        match self {
            Self::Metadata(region) | Self::Size(region) => region.offset - region.offset % BLOCK as u64,
            Self::Regions | Self::Known(_) | Self::Lost => REGION_TABLE,
        }
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        match self {
            Self::Metadata(region) | Self::Size(region) => region.data.capacity(),
            Self::Regions | Self::Known(_) | Self::Lost => 0,
        }
    }
}

impl Region {
    fn collect(&mut self, at: u64, block: &[u8]) {
        let wanted = self.length - self.data.len();
        let skip = usize::try_from(self.offset.saturating_sub(at)).unwrap_or(usize::MAX);
        self.data.extend(block.get(skip..).unwrap_or_default().iter().take(wanted));
    }

    fn is_full(&self) -> bool {
        self.data.len() == self.length
    }
}

fn incomplete() -> Found {
    Found { complete: false, ..Found::new(Format::Vhdx, Size::Known(0)) }
}

/// Reads the region table, which is the whole of its block.
fn find_metadata_region(table: &[u8]) -> Stage {
    let count = le32(table, 8);
    if !table.starts_with(b"regi") || count > ENTRIES_MAX {
        return Stage::Known(Size::Known(0));
    }
    let entries = table.get(REGION_TABLE_HEADER..).unwrap_or_default().chunks_exact(ENTRY);
    let Some(entry) = entries.take(count as usize).find(|entry| entry.starts_with(&METADATA_REGION)) else {
        return Stage::Known(Size::Known(0));
    };
    let mut region = Region { offset: le64(entry, 16), length: BLOCK, data: Vec::new() };
    if region.offset < REGION_TABLE - BLOCK as u64 {
        return Stage::Lost;
    }
    if region.offset <= REGION_TABLE {
        // Upstream then takes this very block for the metadata, in which it finds nothing.
        return Stage::Known(Size::Known(0));
    }
    region.collect(REGION_TABLE, table);
    Stage::Metadata(region)
}

/// Looks into what has come of the metadata table, `block` being the last of it; `None` while there is not enough.
fn find_size_item(metadata: &Region, at: u64, block: &[u8]) -> Option<Stage> {
    let table = metadata.data.as_slice();
    // A table that is there but useless leaves the size unknown, one that ends too early the inspection incomplete.
    let useless = || if metadata.is_full() { Stage::Known(Size::Known(0)) } else { Stage::Lost };
    if table.len() < METADATA_TABLE_HEADER {
        return None;
    }
    if !table.starts_with(b"metadata") {
        return Some(useless());
    }
    let count = usize::from(le16(table, 10));
    if table.len() < METADATA_TABLE_HEADER + count * ENTRY {
        return metadata.is_full().then(useless);
    }
    let entries = table.get(METADATA_TABLE_HEADER..).unwrap_or_default().chunks_exact(ENTRY);
    let Some(entry) = entries.take(count).find(|entry| bytes(entry, 0) == VIRTUAL_DISK_SIZE) else {
        return metadata.is_full().then(useless);
    };
    let length = usize::try_from(le32(entry, 20)).unwrap_or(BLOCK).min(BLOCK);
    let offset = metadata.offset.saturating_add(le32(entry, 16).into());
    Some(begin_size(Region { offset, length, data: Vec::new() }, at, block))
}

/// The item may begin in this block already.
fn begin_size(mut region: Region, at: u64, block: &[u8]) -> Stage {
    if region.offset < at && at - region.offset > region.length as u64 {
        // An item of no length needs nothing of the stream.
        return if region.length == 0 { Stage::Known(Size::Broken) } else { Stage::Lost };
    }
    // Where the item began shortly before this block, upstream takes the start of the block for it.
    region.offset = region.offset.max(at);
    region.collect(at, block);
    if region.is_full() { Stage::Known(read_size(&region.data)) } else { Stage::Size(region) }
}

fn read_size(item: &[u8]) -> Size {
    match <[u8; 8]>::try_from(item) {
        Ok(size) => Size::Known(u64::from_le_bytes(size).into()),
        Err(_) => Size::Broken,
    }
}
