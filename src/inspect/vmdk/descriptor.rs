//! The text that describes a VMDK: header fields, extents, disk database.

use crate::inspect::Failure;

/// Types of which the whole disk is in one file.
const SUPPORTED: [&str; 2] = ["monolithicsparse", "streamoptimized"];
/// The longest type that is taken for one.
const TYPE_MAX: usize = 64;

/// A descriptor that is ASCII, in lower case as its keywords are case-insensitive.
#[derive(Debug)]
pub(super) struct Descriptor {
    text: String,
    /// Value of `createType`.
    kind: Option<String>,
}

impl Descriptor {
    /// `None` if there are other bytes than ASCII before the padding of NULs.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let text = data.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?.to_ascii_lowercase();
        let kind = create_type(&text).map(str::to_owned);
        Some(Self { text, kind })
    }

    pub(super) fn has_type(&self) -> bool {
        self.kind.is_some()
    }

    pub(super) fn is_supported(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| SUPPORTED.contains(&kind))
    }
}

fn create_type(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("createtype=\"")?;
    match rest.find('"') {
        Some(end) if end < TYPE_MAX => rest.get(..end),
        Some(_) => None,
        // Upstream takes a type that is never closed for all but the last character.
        None => rest.get(..rest.len().saturating_sub(1)),
    }
}

/// Whether the disk is all in this file and the text says nothing that is not understood.
pub(super) fn check(descriptor: Option<&Descriptor>) -> Result<(), Failure> {
    let fail = |reason: &'static str| Err(Failure::new("descriptor", reason));
    let Some(descriptor) = descriptor.filter(|descriptor| !descriptor.text.is_empty()) else {
        return fail("No descriptor found");
    };
    if !descriptor.is_supported() {
        return fail("Unsupported subformat");
    }
    let mut extents = Vec::new();
    for line in descriptor.text.split('\n').map(|line| line.trim_matches(|c: char| u8::try_from(c).is_ok_and(is_space)))
    {
        if line.is_empty() || line.starts_with('#') || line.starts_with("ddb") || is_field(line) {
            continue;
        }
        if !is_extent(line) {
            return fail("Invalid VMDK descriptor data");
        }
        extents.push(line);
    }
    // An extent elsewhere in the file system would let the image's owner read it.
    if extents.iter().any(|extent| extent.contains('/')) {
        return fail("Invalid extent filenames found");
    }
    if extents.is_empty() {
        return fail("No extents found");
    }
    Ok(())
}

/// One word, then `=` and anything.
fn is_field(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| !name.contains(' '))
}

/// An access mode, then anything.
fn is_extent(line: &str) -> bool {
    matches!(line.split(' ').next(), Some("rw" | "rdonly" | "noaccess"))
}

/// What Python takes for white space among ASCII.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=0x1f | b' ')
}
