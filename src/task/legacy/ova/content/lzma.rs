//! The data of `.lzma` (LZMA alone), perhaps in several parts behind each other, as upstream's library takes it (`lzma.LZMAFile`;
//! that also takes parts of `.xz` behind them).

use std::fs::File;
use std::io::{self, Read, Seek};

use lzma_rust2::LzmaReader;

use crate::task::import::Watched;

/// Bytes before the data: its properties, the size of its dictionary, and its own.
pub(super) const HEAD: u64 = 13;

/// Encoders make no smaller dictionaries.
const SMALLEST_DICTIONARY: u32 = 4096;

/// Bytes that come out, where they are told, are fewer. That there are more liblzma takes for a sign of something else.
const LARGEST: u64 = 1 << 38;

/// Where the size is not told, and the data has a mark at its end.
const UNTOLD: u64 = u64::MAX;

/// The next part, or the one that is being read; neither: all has come.
pub(super) struct LzmaParts<'a> {
    next: Option<Watched<'a, File>>,
    part: Option<LzmaReader<Watched<'a, File>>>,
    /// KiB that one part may need.
    memory: u32,
    /// A part could not be begun, so that nothing is at its end.
    is_broken: bool,
}

/// Whether data begins as that of `.lzma` may. Nothing in it says so, and this looks at what liblzma looks at in place of that. No archive begins
/// so: the first byte of such a dictionary's size is zero, and behind the end of a file's name there is nothing but zeros.
pub(super) fn is_begun(head: &[u8]) -> bool {
    let Some((&[properties, d0, d1, d2, d3], size)) = head.split_first_chunk() else { return false };
    let Some((&size, _)) = size.split_first_chunk() else { return false };
    let (dictionary, size) = (u32::from_le_bytes([d0, d1, d2, d3]), u64::from_le_bytes(size));
    let (literal_bits, position_bits) = (properties % 9, properties / 9 % 5);
    let is_usual = |size: u32| size.is_power_of_two() || (size.is_multiple_of(3) && (size / 3).is_power_of_two());
    properties < 5 * 5 * 9
        && literal_bits + position_bits <= 4
        && dictionary >= SMALLEST_DICTIONARY
        && is_usual(dictionary)
        && (size == UNTOLD || size < LARGEST)
}

impl<'a> LzmaParts<'a> {
    pub(super) fn new(file: Watched<'a, File>, memory: u32) -> Self {
        Self { next: Some(file), part: None, memory, is_broken: false }
    }

    /// `None`: what comes is something else.
    fn begin(&self, mut file: Watched<'a, File>) -> io::Result<Option<LzmaReader<Watched<'a, File>>>> {
        let mut head = Vec::new();
        file.by_ref().take(HEAD).read_to_end(&mut head)?;
        if !is_begun(&head) {
            return Ok(None);
        }
        go_back(&mut file, head.len())?;
        let mut part = LzmaReader::new_mem_limit(file, self.memory, None)?;
        // Else a mark at the end of a part whose size is told would seem to be the next one.
        part.set_relaxed_end_condition(false);
        Ok(Some(part))
    }
}

impl Read for LzmaParts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = self.next.take() {
                self.is_broken = true;
                self.part = self.begin(file)?;
                self.is_broken = false;
            }
            if self.is_broken {
                return Err(io::Error::other("what stands behind the last part could not be read"));
            }
            let Some(part) = &mut self.part else { return Ok(0) };
            let length = part.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            if let Some(ended) = self.part.take() {
                let (mut file, unused) = ended.into_parts();
                go_back(&mut file, unused.len())?;
                self.next = Some(file);
            }
        }
    }
}

/// Has it read on from so many bytes before.
fn go_back(file: &mut Watched<'_, File>, bytes: usize) -> io::Result<()> {
    let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
    file.seek_relative(-bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(properties: u8, dictionary: u32, size: u64) -> Vec<u8> {
        [&[properties][..], &dictionary.to_le_bytes(), &size.to_le_bytes()].concat()
    }

    #[test]
    fn data_is_told_by_what_its_head_can_say() {
        for dictionary in [1 << 12, 3 << 11, 1 << 23, 1 << 26, 3 << 30, 1 << 31] {
            for size in [0, 10_240, LARGEST - 1, UNTOLD] {
                assert!(is_begun(&head(0x5d, dictionary, size)), "{dictionary} {size}");
            }
            assert!(!is_begun(&head(0x5d, dictionary, LARGEST)) && !is_begun(&head(0x5d, dictionary, UNTOLD - 1)));
            assert!(!is_begun(&head(225, dictionary, UNTOLD)), "no such properties");
            assert!(!is_begun(&head(0x5d, dictionary + 1, UNTOLD)));
        }
        // Four and no bits, four and one bit.
        assert!(is_begun(&head(4, 1 << 16, UNTOLD)) && !is_begun(&head(13, 1 << 16, UNTOLD)));
        assert!(!is_begun(&head(0x5d, 0, UNTOLD)) && !is_begun(&head(0x5d, 1 << 16, UNTOLD)[..12]));
    }

    #[test]
    fn names_of_files_are_no_such_data() {
        for length in 0..=13 {
            for letter in 1..=u8::MAX {
                let mut name = [0; 13];
                name[..length].fill(letter);
                assert!(!is_begun(&name), "{length} times {letter:x}");
            }
        }
    }
}
