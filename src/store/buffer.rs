//! Large buffers for data that is read from files, which are used again.
//!
//! They are mappings of their own. One thread fills them and another drops them, so in glibc's heap they would go back to the heap of the
//! first, which gives memory to the system only when all that lies above it is free.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

/// Bytes of a buffer.
pub(super) const SIZE: usize = 64 * 1024;

/// Buffers that are kept while nobody has them; the others go back to the system.
const KEPT: usize = 16;

static FREE: Mutex<Vec<MmapMut>> = Mutex::new(Vec::new());

/// What it held before may still be in it.
pub(super) struct Buffer {
    /// `None` once it is given back.
    mapping: Option<MmapMut>,
}

impl Buffer {
    /// # Errors
    /// Those of mmap(2).
    pub(super) fn take() -> io::Result<Self> {
        let kept = free().pop();
        let mapping = kept.map_or_else(|| MmapMut::map_anon(SIZE), Ok)?;
        Ok(Self { mapping: Some(mapping) })
    }

    /// The first `length` bytes. The buffer can be taken again when they are dropped.
    pub(super) fn filled(self, length: usize) -> Bytes {
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.mapping.as_deref().unwrap_or_default()
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.mapping.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = free();
        if free.len() < KEPT {
            free.extend(self.mapping.take());
        }
        // What is left in it goes after the lock, as the kernel may take long.
    }
}

fn free() -> MutexGuard<'static, Vec<MmapMut>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_was_read_and_only_some_buffers_are_kept() {
        let mut taken: Vec<Bytes> = Vec::new();
        for number in 0..3 * KEPT as u8 {
            let mut buffer = Buffer::take().unwrap();
            assert_eq!(buffer.as_ref().len(), SIZE);
            buffer.as_mut()[..100].fill(number);
            taken.push(buffer.filled(100));
        }
        assert!(taken.iter().zip(0..).all(|(bytes, number)| **bytes == [number; 100]));
        drop(taken);
        assert!(free().len() <= KEPT);
    }
}
