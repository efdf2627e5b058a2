//! Image data on its way out.

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

/// A part of an open file. The connection layer sends it without a copy where it can.
#[derive(Clone, Debug)]
pub struct FileRegion {
    pub file: Arc<File>,
    /// First byte.
    pub offset: u64,
    /// Bytes to send; the file holds at least `offset + length` when the region is made.
    pub length: u64,
}

/// Image data, or a range of it.
pub enum Reader {
    /// A region of a local file.
    File(FileRegion),
    /// Bytes from afar.
    Stream(Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>),
}

impl Reader {
    /// Bytes to come, where that is known before they are read.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::File(region) => Some(region.length),
            Self::Stream(_) => None,
        }
    }
}
