//! The bytes of an OVA archive, which may be compressed as a whole by gzip, bzip2, xz or its predecessor `.lzma`: upstream's library
//! undoes all four (`tarfile.open` of Python).

mod lzma;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use self::lzma::LzmaParts;
use crate::task::import::{Decompression, Interrupt, Watched};

/// A way of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Gzip,
    /// It needs less than four MiB of memory, whatever the data says.
    Bzip2,
    Xz,
    Lzma,
}

/// KiB of memory that xz and `.lzma` may need, for a dictionary above all: none of their presets makes one of more than 64 MiB, but any data
/// may ask for four GiB.
const XZ_MEMORY: u32 = 65 << 10;

/// An archive, and who reads it.
pub(in crate::task::legacy) struct Archived<'a> {
    pub(in crate::task::legacy) path: &'a Path,
    /// How much may come out of one that is compressed.
    pub(in crate::task::legacy) unpacking: &'a Decompression,
    pub(in crate::task::legacy) interrupt: &'a Interrupt,
}

/// What is in an archive, as far as it may come.
pub(super) struct Content<'a> {
    data: Box<dyn Read + 'a>,
    /// Bytes that may still come.
    left: u64,
    interrupt: &'a Interrupt,
}

impl<'a> Archived<'a> {
    pub(super) fn open(&self) -> io::Result<Content<'a>> {
        let mut file = File::open(self.path)?;
        let size = file.metadata()?.len();
        let method = Method::of(&mut file)?;
        let left = if method.is_some() { self.unpacking.most(size) } else { u64::MAX };
        let data = unpacked(method, Watched::new(file, self.interrupt));
        Ok(Content { data, left, interrupt: self.interrupt })
    }
}

fn unpacked<'a>(method: Option<Method>, file: Watched<'a, File>) -> Box<dyn Read + 'a> {
    match method {
        None => Box::new(file),
        Some(Method::Gzip) => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        Some(Method::Bzip2) => Box::new(MultiBzDecoder::new(BufReader::new(file))),
        Some(Method::Xz) => Box::new(XzReader::new_mem_limit(BufReader::new(file), true, XZ_MEMORY)),
        Some(Method::Lzma) => Box::new(LzmaParts::new(file, XZ_MEMORY)),
    }
}

impl Method {
    fn of(file: &mut File) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        file.by_ref().take(lzma::HEAD).read_to_end(&mut head)?;
        file.rewind()?;
        // No name of a file in an archive begins so.
        Ok(match head.as_slice() {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            head => lzma::is_begun(head).then_some(Self::Lzma),
        })
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check().map_err(io::Error::other)?;
        let length = self.data.read(buffer)?;
        let left = self.left.checked_sub(length as u64);
        self.left = left.ok_or_else(|| io::Error::other("more comes out of it than may"))?;
        self.interrupt.went_on(length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_decoder_reads_on_when_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.ova");
        std::fs::write(&path, [0; 1000]).unwrap();
        for method in [None, Some(Method::Gzip), Some(Method::Bzip2), Some(Method::Xz), Some(Method::Lzma)] {
            let (file, interrupt) = (File::open(&path).unwrap(), Interrupt::given());
            let mut data = unpacked(method, Watched::new(file, &interrupt));
            let error = data.read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.to_string(), interrupt.check().unwrap_err().to_string(), "{method:?}");
        }
    }
}
