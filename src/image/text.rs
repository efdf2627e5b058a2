//! Text that every database can hold.

use super::Error;
use crate::schema::python::{excerpts, title};

/// Refuses characters outside the basic plane, which MySQL's three-byte UTF-8 cannot store
/// (upstream: `glance/common/utils.py`, `no_4byte_params`).
///
/// # Errors
/// [`Error::Invalid`] with `message`.
pub(super) fn check_plane(text: &str, message: impl FnOnce() -> String) -> Result<(), Error> {
    if text.chars().any(|c| c > '\u{ffff}') { Err(Error::Invalid(message())) } else { Ok(()) }
}

/// The words for a field whose value has such a character.
pub(super) fn field_message(field: &str) -> String {
    format!("{} can't contain 4 byte unicode characters.", title(&excerpts([field])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_basic_plane_passes() {
        assert!(check_plane("naïve ☃ \u{ffff}", String::new).is_ok());
        assert!(check_plane("😀", String::new).is_err());
    }
}
