//! What one format's parser has to say about a stream that it recognises.

use std::borrow::Cow;
use std::fmt;

use super::Format;

/// A format that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub format: Format,
    /// All that the parser wanted to see was in the stream. What is not complete can not be called safe.
    pub complete: bool,
    pub size: Size,
    /// Safety checks that failed; empty also while not complete.
    pub failures: Vec<Failure>,
}

impl Found {
    /// A complete match without failures.
    pub(super) fn new(format: Format, size: Size) -> Self {
        Self { format, complete: true, size, failures: Vec::new() }
    }
}

/// Bytes of the disk that the image describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Zero where the header does not say. Wider than any size a disk can have, because a header can claim anything.
    Known(u128),
    /// The stream's length without a header of this many bytes.
    StreamWithout(u64),
    /// The fields that say it make no sense.
    Broken,
}

/// A safety check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Upstream's name of the check, as in the option `gpt_safety_checks_nonfatal`.
    pub check: &'static str,
    pub reason: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(check: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { check, reason: reason.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.reason)
    }
}
