//! Compressed data, of which a decoder can pass over much before anything comes out of it, or nothing at all.

use std::io::{self, Read, Seek, SeekFrom};

use super::interrupt::Interrupt;

/// Data that is read as long as somebody waits. What is read counts as work that goes on.
pub(in crate::task) struct Watched<'a, R> {
    data: R,
    interrupt: &'a Interrupt,
}

impl<'a, R> Watched<'a, R> {
    pub(in crate::task) fn new(data: R, interrupt: &'a Interrupt) -> Self {
        Self { data, interrupt }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check().map_err(io::Error::other)?;
        let length = self.data.read(buffer)?;
        self.interrupt.went_on(length as u64);
        Ok(length)
    }
}

impl<R: Seek> Seek for Watched<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.data.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use flate2::bufread::MultiGzDecoder;

    use super::super::interrupt::InterruptOnDrop;
    use super::*;
    use crate::task::headway::Headway;
    use crate::task::import::progress::Progress;

    /// The head of a member of gzip.
    const HEAD: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    /// A stored block without bytes that is not the last one.
    const EMPTY_BLOCK: &[u8] = b"\0\0\0\xff\xff";
    /// An empty block that is the last one, checksum and length.
    const EMPTY_END: &[u8] = b"\x03\0\0\0\0\0\0\0\0\0";

    /// The same piece for ever; nobody waits any more from the hundredth read on.
    struct Endless {
        piece: Vec<u8>,
        reads: u32,
        waiting: Option<InterruptOnDrop>,
    }

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            if self.reads == 100 {
                drop(self.waiting.take());
            }
            let size = self.piece.len();
            buffer.chunks_exact_mut(size).for_each(|place| place.copy_from_slice(&self.piece));
            Ok(buffer.len() - buffer.len() % size)
        }
    }

    #[test]
    fn data_of_which_nothing_comes_out_is_not_read_for_ever() {
        let member = [HEAD, EMPTY_END].concat();
        for (head, piece) in [(HEAD, EMPTY_BLOCK.to_vec()), (b"", member)] {
            let headway = Headway::default();
            let interrupt = Interrupt::of(&Progress::of(&headway));
            let waiting = Some(InterruptOnDrop(interrupt.clone()));
            let data = head.chain(Endless { piece, reads: 0, waiting });
            let source = BufReader::with_capacity(1000, Watched::new(data, &interrupt));
            let error = MultiGzDecoder::new(source).read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.to_string(), interrupt.check().unwrap_err().to_string());
            assert_eq!(headway.so_far(), 100_000 + head.len() as u64);
        }
    }
}
