//! A piece of a response on its way through hyper.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::lane::sentinel;
use super::tally::Tally;

/// Bytes, or the stand-in for a region of a file. Counts what is taken from it: with hyper's vectored writes a byte is taken
/// when the kernel has it.
#[derive(Debug)]
pub(in crate::service) struct Chunk {
    data: Data,
    tally: Arc<Tally>,
}

#[derive(Debug)]
enum Data {
    Memory(Bytes),
    /// Bytes left of a region that is in the connection's lane.
    Region(usize),
}

impl Chunk {
    pub(super) fn memory(bytes: Bytes, tally: Arc<Tally>) -> Self {
        tally.owes();
        Self { data: Data::Memory(bytes), tally }
    }

    /// `length`: that of a region which the caller has put into the lane.
    pub(super) fn region(length: usize, tally: Arc<Tally>) -> Self {
        tally.owes();
        Self { data: Data::Region(length), tally }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match &self.data {
            Data::Memory(bytes) => bytes.len(),
            Data::Region(left) => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.data {
            Data::Memory(bytes) => bytes,
            Data::Region(left) => sentinel().get(..*left).unwrap_or(sentinel()),
        }
    }

    fn advance(&mut self, count: usize) {
        match &mut self.data {
            Data::Memory(bytes) => bytes.advance(count),
            Data::Region(left) => *left = left.saturating_sub(count),
        }
        self.tally.sent(count);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.tally.paid(self.remaining());
    }
}
