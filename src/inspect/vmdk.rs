//! VMware's VMDK: a sparse extent with its descriptor embedded, or a descriptor alone, which is a text file.
//!
//! A sparse extent's header says where the descriptor lies, and may say that the truth is in a footer at the end of the stream; the
//! footer must then agree with the header. The descriptor names the files of the disk, so it is read line by line, and any line
//! that is not understood condemns the image.

mod descriptor;

use self::descriptor::Descriptor;
use super::field::{bytes, le32, le64, u8};
use super::{Failure, Format, Found, Size};

const SECTOR: u64 = 512;
/// As much of the header as must be there to read it.
const SPARSE_HEADER: usize = 64;
const MAGIC: &[u8] = b"KDMV";
/// The only sector at which QEMU looks for a descriptor.
const DESCRIPTOR_SECTOR: u64 = 1;
const DESCRIPTOR_MAX: u64 = (1 << 20) - 1;
/// In place of the grain directory's offset: look into the footer.
const DIRECTORY_AT_END: u64 = u64::MAX;
/// Footer marker, footer, end-of-stream marker: a sector each.
const FOOTER: usize = 3 * 512;
const MARKER_END: u32 = 0;
const MARKER_FOOTER: u32 = 3;

/// The parser between two pieces of the stream.
#[derive(Debug)]
pub(super) enum Vmdk {
    /// Something else.
    No,
    /// Nothing more of the stream is needed.
    Done(Found),
    /// A sparse extent whose header is read.
    Sparse(Sparse),
}

#[derive(Debug)]
pub(super) struct Sparse {
    header: Header,
    /// Bytes of the embedded descriptor to collect, and those that have come.
    descriptor_length: usize,
    descriptor: Vec<u8>,
    /// The last [`FOOTER`] bytes of the stream, where the header refers to a footer.
    tail: Option<Vec<u8>>,
}

/// The fields of which a footer is a second copy.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    magic: [u8; 4],
    version: u32,
    sectors: u64,
    descriptor_sector: u64,
    descriptor_sectors: u64,
    directory: u64,
}

impl Header {
    fn read(data: &[u8]) -> Self {
        Self {
            magic: bytes(data, 0),
            version: le32(data, 4),
            sectors: le64(data, 12),
            descriptor_sector: le64(data, 28),
            descriptor_sectors: le64(data, 36),
            directory: le64(data, 56),
        }
    }

    fn size(&self) -> u128 {
        u128::from(self.sectors) * u128::from(SECTOR)
    }
}

impl Vmdk {
    /// Looks at the first 64 KiB of the stream, or all of it if it is shorter.
    pub(super) fn begin(head: &[u8]) -> Self {
        if !head.starts_with(MAGIC) {
            return match text(head) {
                Some(found) => Self::Done(found),
                None => Self::No,
            };
        }
        if head.len() < SPARSE_HEADER {
            return Self::Done(stub(head));
        }
        let header = Header::read(head);
        let tail = (header.directory == DIRECTORY_AT_END).then(Vec::new);
        if !matches!(header.version, 1..=3) || header.descriptor_sector != DESCRIPTOR_SECTOR {
            // A footer that will not be looked for leaves the inspection incomplete. Upstream decides on the version first.
            let complete = tail.is_none() || !matches!(header.version, 1..=3);
            return Self::Done(Found { complete, ..without_descriptor(complete) });
        }
        let length = header.descriptor_sectors.saturating_mul(SECTOR).min(DESCRIPTOR_MAX);
        let mut sparse =
            Sparse { header, descriptor_length: usize::try_from(length).unwrap_or(0), descriptor: Vec::new(), tail };
        sparse.feed(0, head);
        Self::Sparse(sparse).settle()
    }

    /// Takes the next piece, which starts at byte `at` of the stream.
    pub(super) fn feed(&mut self, at: u64, chunk: &[u8]) {
        if let Self::Sparse(sparse) = self {
            sparse.feed(at, chunk);
            *self = std::mem::replace(self, Self::No).settle();
        }
    }

    /// The stream has ended.
    pub(super) fn finish(self) -> Option<Found> {
        match self {
            Self::No => None,
            Self::Done(found) => Some(found),
            Self::Sparse(sparse) => Some(sparse.finish()),
        }
    }

    /// Whether the rest of the stream can change nothing.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(self, Self::Sparse(_))
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Sparse(sparse) => sparse.descriptor.capacity() + sparse.tail.as_ref().map_or(0, Vec::capacity),
            Self::No | Self::Done(_) => 0,
        }
    }

    fn settle(self) -> Self {
        match self {
            Self::Sparse(sparse) if sparse.tail.is_none() && sparse.has_descriptor() => Self::Done(sparse.finish()),
            other => other,
        }
    }
}

impl Sparse {
    fn feed(&mut self, at: u64, chunk: &[u8]) {
        if !self.has_descriptor() {
            // The descriptor starts in the head, which comes in one piece, so there is no gap before later pieces.
            let skip = usize::try_from((DESCRIPTOR_SECTOR * SECTOR).saturating_sub(at)).unwrap_or(usize::MAX);
            let wanted = self.descriptor_length - self.descriptor.len();
            self.descriptor.extend(chunk.get(skip..).unwrap_or_default().iter().take(wanted));
        }
        if let Some(tail) = &mut self.tail {
            let new = chunk.get(chunk.len().saturating_sub(FOOTER)..).unwrap_or_default();
            let surplus = (tail.len() + new.len()).saturating_sub(FOOTER);
            tail.drain(..surplus.min(tail.len()));
            tail.extend_from_slice(new);
        }
    }

    fn has_descriptor(&self) -> bool {
        self.descriptor.len() == self.descriptor_length
    }

    fn finish(self) -> Found {
        let footer_missing = self.tail.as_ref().is_some_and(|tail| tail.len() < FOOTER);
        if !self.has_descriptor() {
            return Found { complete: false, ..without_descriptor(false) };
        }
        let descriptor = Descriptor::read(&self.descriptor);
        let size = match &descriptor {
            Some(text) if text.is_supported() => self.header.size(),
            _ => 0,
        };
        let mut found = Found { complete: !footer_missing, ..Found::new(Format::Vmdk, Size::Known(size)) };
        if found.complete {
            found.failures.extend(descriptor::check(descriptor.as_ref()).err());
            found.failures.extend(self.tail.and_then(|tail| check_footer(&self.header, &tail).err()));
        }
        found
    }
}

/// A descriptor alone. Upstream looks for it in the first piece it reads, so here in the head.
fn text(head: &[u8]) -> Option<Found> {
    let start = head.get(..SPARSE_HEADER.max(head.len().min(512)))?;
    if !start.iter().all(|&byte| matches!(byte, 0x20..=0x7e) || descriptor::is_space(byte)) {
        return None;
    }
    let descriptor = Descriptor::read(head).filter(Descriptor::has_type)?;
    // The size would be in the header that a text has not.
    let size = if descriptor.is_supported() { Size::Broken } else { Size::Known(0) };
    Some(Found {
        failures: descriptor::check(Some(&descriptor)).err().into_iter().collect(),
        ..Found::new(Format::Vmdk, size)
    })
}

/// A stream that bears the signature and ends before the header does.
fn stub(head: &[u8]) -> Found {
    let size = match Descriptor::read(head) {
        Some(text) if text.is_supported() && head.len() >= 44 => Size::Known(Header::read(head).size()),
        Some(text) if text.is_supported() => Size::Broken,
        _ => Size::Known(0),
    };
    Found { complete: false, ..Found::new(Format::Vmdk, size) }
}

fn without_descriptor(complete: bool) -> Found {
    let failures = if complete { descriptor::check(None).err().into_iter().collect() } else { Vec::new() };
    Found { failures, ..Found::new(Format::Vmdk, Size::Known(0)) }
}

fn check_footer(header: &Header, tail: &[u8]) -> Result<(), Failure> {
    let fail = |reason: &'static str| Err(Failure::new("footer", reason));
    let sector = |index: usize| tail.get(index * 512..(index + 1) * 512).unwrap_or_default();
    let footer = Header::read(sector(1));
    if footer.magic != header.magic {
        return fail("Header and footer signature do not match");
    }
    if footer.version != header.version {
        return fail("Header and footer versions do not match");
    }
    if footer.descriptor_sector != header.descriptor_sector || footer.descriptor_sectors != header.descriptor_sectors {
        return fail("Footer specifies a different descriptor than header");
    }
    if footer.directory == DIRECTORY_AT_END {
        return fail("Footer indicates another footer");
    }
    let marker = sector(0);
    if le32(marker, 8) != 0 || le32(marker, 12) != MARKER_FOOTER || !is_padded(marker) {
        return fail("Footer marker is invalid");
    }
    let end = sector(2);
    if le64(end, 0) != 0 || le32(end, 8) != 0 || le32(end, 12) != MARKER_END || !is_padded(end) {
        return fail("End-of-stream marker is invalid");
    }
    Ok(())
}

fn is_padded(marker: &[u8]) -> bool {
    (16..512).all(|at| u8(marker, at) == 0)
}
