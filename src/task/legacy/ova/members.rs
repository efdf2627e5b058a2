//! The members of a tar archive one after the other, as upstream's library sees them (`tarfile` of Python). The library
//! `tar` would read what extends a header into memory, however long it is, or take no notice of it. But sizes from 8
//! GiB on, and names that are long or not of ASCII, stand nowhere else.

use std::io::{self, Read};
use std::mem;

use tar::{EntryType, Header};

/// Bytes of what extends a header: a name, a size, and attributes of the file that do not concern us.
const EXTENSION: u64 = 16 << 10;

/// Headers of an archive: of one description, its signature, disks, and of what extends these.
const HEADERS: u32 = 4000;

/// Headers and data fill whole ones.
const BLOCK: usize = 512;

/// Where a header in the old form of sparse files, and each block that follows it, says that one more follows.
const MAP_GOES_ON: [usize; 2] = [482, 504];

/// Why an archive is read no further.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("a header is damaged")]
    Header,
    #[error("what extends a header is damaged")]
    Extension,
    #[error("more than {} bytes extend a header", EXTENSION)]
    LongExtension,
    #[error("a header tells one name or size for all members")]
    Global,
    #[error("it has more than {} headers", HEADERS)]
    TooMany,
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// An archive. What is read of it is the data of the member that was given last; where that breaks off, it is an error.
pub(super) struct Members<R> {
    archive: R,
    /// Bytes of data that have not been read.
    left: u64,
    /// Bytes that fill the last block of data up.
    filling: u64,
    /// How many may still come.
    headers: u32,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// Its data is not the file, but pieces of it, and nothing bounds the size that it tells.
    Sparse,
    /// Links, directories and devices. There is no data behind their headers, whatever size these tell.
    Other,
}

/// What the headers before that of a member tell of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl<R: Read> Members<R> {
    pub(super) fn new(archive: R) -> Self {
        Self { archive, left: 0, filling: 0, headers: HEADERS }
    }

    /// The next one. None: the archive ends here.
    ///
    /// # Errors
    /// The archive cannot be read, or not be understood as upstream's library understands it.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, WalkError> {
        let mut told = Told::default();
        loop {
            self.pass_data()?;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.entry_type().as_byte() {
                // The second is that of Solaris.
                b'x' | b'X' => told = told.or(self.records(&header)?),
                // Such a header may have comments. One size or name for all members makes no sense, and no two programs
                // make the same of it.
                b'g' => {
                    if self.records(&header)? != Told::default() {
                        return Err(WalkError::Global);
                    }
                }
                b'L' => {
                    let name = until_nul(&self.extension(&header)?).to_vec();
                    told = told.or(Told { name: Some(name), ..Told::default() });
                }
                // Where a link leads to does not matter, as none is followed.
                b'K' => self.begin(size_of(&header)?),
                _ => return self.member(&header, told).map(Some),
            }
        }
    }

    /// The next header. None: there is a block of zeros in its place, or nothing.
    fn header(&mut self) -> Result<Option<Header>, WalkError> {
        self.headers = self.headers.checked_sub(1).ok_or(WalkError::TooMany)?;
        let mut block = Vec::with_capacity(BLOCK);
        self.archive.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(None);
        }
        let block: [u8; BLOCK] = block.try_into().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let mut header = Header::new_old();
        *header.as_mut_bytes() = block;
        if block == [0; BLOCK] {
            Ok(None)
        } else if is_whole(&header) {
            Ok(Some(header))
        } else {
            Err(WalkError::Header)
        }
    }

    /// The data of a header that extends a later one.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, WalkError> {
        let size = size_of(header)?;
        if size > EXTENSION {
            return Err(WalkError::LongExtension);
        }
        self.begin(size);
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        Ok(data)
    }

    fn records(&mut self, header: &Header) -> Result<Told, WalkError> {
        let data = self.extension(header)?;
        Told::by_records(&data).ok_or(WalkError::Extension)
    }

    fn member(&mut self, header: &Header, told: Told) -> Result<Member, WalkError> {
        let kind = Kind::of(header, told.is_sparse);
        if header.entry_type() == EntryType::GNUSparse {
            self.pass_map(header)?;
        }
        let size = match (kind, told.size) {
            (Kind::Other, _) => 0,
            (_, Some(size)) => size,
            (_, None) => size_of(header)?,
        };
        self.begin(size);
        Ok(Member { name: told.name.unwrap_or_else(|| header.path_bytes().into_owned()), kind })
    }

    /// Passes over the blocks that say where the pieces of a sparse file belong. They do not count as data.
    fn pass_map(&mut self, header: &Header) -> io::Result<()> {
        let [in_header, in_block] = MAP_GOES_ON;
        let mut goes_on = header.as_bytes()[in_header] != 0;
        let mut block = [0; BLOCK];
        while goes_on {
            self.archive.read_exact(&mut block)?;
            goes_on = block[in_block] != 0;
        }
        Ok(())
    }

    /// So many bytes of data come now.
    fn begin(&mut self, size: u64) {
        let block = BLOCK as u64;
        self.left = size;
        self.filling = (block - size % block) % block;
    }

    fn pass_data(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        self.left = mem::take(&mut self.filling);
        io::copy(self, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let length = self.archive.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

impl Kind {
    fn of(header: &Header, is_told_sparse: bool) -> Self {
        let old = header.as_old();
        match old.linkflag {
            [b'1'..=b'6'] => Self::Other,
            // Directories, before there was a type for them.
            [0] if until_nul(&old.name).ends_with(b"/") => Self::Other,
            [b'S'] => Self::Sparse,
            _ if is_told_sparse => Self::Sparse,
            // Unknown types as well.
            _ => Self::File,
        }
    }
}

impl Told {
    /// Records such as `14 path=a.ovf` and an end of line, up to a zero; the last of a key counts. None: damaged ones.
    fn by_records(mut data: &[u8]) -> Option<Self> {
        let mut told = Self::default();
        while data.first().is_some_and(|byte| *byte != 0) {
            let (key, value, rest) = record(data)?;
            match key {
                b"path" | b"GNU.sparse.name" => told.name = Some(value.to_vec()),
                b"size" => told.size = Some(decimal(value)?),
                _ => {}
            }
            told.is_sparse |= key.starts_with(b"GNU.sparse.");
            data = rest;
        }
        Some(told)
    }

    /// With what another header tells that stands between this one and the member: the first counts.
    fn or(self, later: Self) -> Self {
        let is_sparse = self.is_sparse || later.is_sparse;
        Self { name: self.name.or(later.name), size: self.size.or(later.size), is_sparse }
    }
}

/// Key and value of the first record, and what follows it.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((&text[..equals], &text[equals + 1..], rest))
}

fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The sum of the bytes is right; those of the sum itself count as spaces.
fn is_whole(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum: u64 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u64::from(*byte)).sum();
    number(&header.as_old().cksum) == Some(sum + 8 * u64::from(b' '))
}

fn size_of(header: &Header) -> Result<u64, WalkError> {
    number(&header.as_old().size).ok_or(WalkError::Header)
}

/// A number in a header: binary, or octal; without digits it is zero. None: it is no number, or too large.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, bytes @ ..] = field {
        return bytes.iter().try_fold(0_u64, |number, byte| number.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
