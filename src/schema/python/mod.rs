//! Values as Python writes and reads them, since upstream's texts, documents and columns hold them so. Expectations of the tests
//! are CPython 3.11's.

pub(crate) mod integer;
pub(crate) mod json;
mod limited;
pub(super) mod pretty;
mod repr;
mod text;

pub(crate) use limited::{Excerpt, excerpts};
pub(crate) use repr::{display, quote, repr};
pub(super) use repr::{quotes, reprs, subscripts};
pub(crate) use text::{boolean, is_space, number_or_none, or_none, strip, title};
