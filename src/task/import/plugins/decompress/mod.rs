//! Unpacks staged data that is compressed (upstream: `glance/async_/flows/plugins/image_decompression.py`).

mod gzip;
mod lha;
mod lzma;
mod metered;
mod zip;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tracing::info;

use super::interrupt::{Interrupt, Original};
use super::outcome::{Findings, PluginError, Staged};
use super::watched::Watched;
use crate::config::Config;
use crate::sys::crash_point::crash_point;

/// Bytes that may come out of any data, however small it is: the ratio of an empty disk says nothing.
const HARMLESS: u64 = 256 << 20;
/// Bytes of a step.
const STEP: usize = 256 << 10;

/// How much may come out of compressed data.
#[derive(Debug)]
pub(in crate::task) struct Decompression {
    /// Times the size of the compressed data.
    ratio: u64,
    /// Bytes.
    size: u64,
    /// Bytes that may come out whatever the ratio says.
    harmless: u64,
}

/// A way of compression, told by the first bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Zip,
    Lha,
    Gzip,
}

/// Offset and bytes by which upstream tells them, in its order.
const MAGIC: [(usize, &[u8], Method); 3] =
    [(0, b"PK\x03\x04", Method::Zip), (2, b"-lh", Method::Lha), (0, b"\x1f\x8b\x08", Method::Gzip)];

impl Decompression {
    pub(in crate::task) fn new(config: &Config) -> Self {
        let positive = |value: i64| u64::try_from(value).unwrap_or(0);
        let service = &config.service;
        Self {
            ratio: positive(service.decompression_max_ratio),
            size: positive(service.decompression_max_size).min(positive(config.default.image_size_cap)),
            harmless: HARMLESS,
        }
    }

    /// Unpacks the staged file in its place, if it is compressed and not meant to be.
    ///
    /// # Errors
    /// The data is damaged, holds more than one file, or too much would come out; the staged file is as it was then.
    pub(super) fn run(&self, staged: &Staged, interrupt: &Interrupt) -> Result<Findings, PluginError> {
        let path = staged.path.as_path();
        if staged.container_format.as_deref() == Some("compressed") {
            return Ok(Findings::default());
        }
        let Some(method) = Method::of(path)? else { return Ok(Findings::default()) };
        let original = Original::at(path)?;
        let compressed = fs::metadata(path).map_err(PluginError::io("looking at the staged data"))?.len();
        let target = Output::create(path)?;
        let budget = Budget { compressed, most: self.most(compressed), interrupt };
        let size = match method {
            Method::Zip => zip::unpack(path, &target, &budget),
            Method::Lha => lha::unpack(path, &target, &budget),
            Method::Gzip => gzip::unpack(path, &target, &budget),
        };
        // To a decoder, an interrupt is data that cannot be read.
        let size = size.or_else(|error| interrupt.check().and(Err(error)))?;
        crash_point("decompress.written");
        original.check(interrupt)?;
        target.replace(path)?;
        crash_point("decompress.replaced");
        info!(path = %path.display(), compressed, size, ?method, "staged data decompressed");
        Ok(Findings { size: Some(size), ..Findings::default() })
    }

    /// Bytes that may come out of so many.
    pub(in crate::task) fn most(&self, compressed: u64) -> u64 {
        compressed.saturating_mul(self.ratio).max(self.harmless).min(self.size)
    }
}

impl Method {
    fn of(path: &Path) -> Result<Option<Self>, PluginError> {
        let mut head = Vec::new();
        let file = open(path)?;
        file.take(16).read_to_end(&mut head).map_err(PluginError::io("reading the staged data"))?;
        let found = MAGIC.iter().find(|(offset, magic, _)| head.get(*offset..).is_some_and(|at| at.starts_with(magic)));
        Ok(found.map(|(_, _, method)| *method))
    }
}

fn open(path: &Path) -> Result<File, PluginError> {
    File::open(path).map_err(PluginError::io("opening the staged data"))
}

/// The file beside the staged one that gets the data; it goes unless it replaces that.
struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    fn create(source: &Path) -> Result<Self, PluginError> {
        let mut path = source.as_os_str().to_owned();
        path.push(".uc");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        Ok(Self { file: file.map_err(PluginError::io("creating a file for the decompressed data"))?, path })
    }

    fn replace(self, source: &Path) -> Result<(), PluginError> {
        fs::rename(&self.path, source).map_err(PluginError::io("putting the decompressed data in place"))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Where it has replaced the staged file, there is none of that name.
        let _ = fs::remove_file(&self.path);
    }
}

/// What may come out, and whether anybody still wants it.
struct Budget<'a> {
    compressed: u64,
    most: u64,
    interrupt: &'a Interrupt,
}

impl<'a> Budget<'a> {
    /// The compressed data. Decoders can read much of it before they give anything back.
    fn open(&self, path: &Path) -> Result<Watched<'a, File>, PluginError> {
        Ok(Watched::new(open(path)?, self.interrupt))
    }

    /// Writes all that comes. `before`: bytes that came out already. Gives the bytes of all.
    fn copy(&self, mut data: impl Read, target: &Output, before: u64) -> Result<u64, PluginError> {
        let mut buffer = vec![0; STEP];
        let (mut size, mut file) = (before, &target.file);
        loop {
            self.interrupt.check()?;
            let length = match data.read(&mut buffer) {
                Ok(0) => return Ok(size),
                Ok(length) => length,
                Err(error) => return Err(damaged(&error)),
            };
            size += length as u64;
            if size > self.most {
                return Err(PluginError::TooLarge { compressed: self.compressed, most: self.most });
            }
            let piece = buffer.get(..length).unwrap_or_default();
            file.write_all(piece).map_err(PluginError::io("writing the decompressed data"))?;
            self.interrupt.went_on(length as u64);
        }
    }
}

fn damaged(error: &dyn std::fmt::Display) -> PluginError {
    PluginError::Refused(format!("The compressed data is damaged: {error}"))
}

fn several() -> PluginError {
    PluginError::Refused("Archive contains more than one file.".to_owned())
}

#[cfg(test)]
mod tests;
