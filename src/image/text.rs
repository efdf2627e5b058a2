//! Text that every database can hold.

use super::Error;

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
    format!("{} can't contain 4 byte unicode characters.", title(field))
}

/// Python's `str.title`: the first letter of each run of letters in upper case, the others in lower case.
fn title(text: &str) -> String {
    let mut after_letter = false;
    text.chars()
        .flat_map(|c| {
            let cased: Vec<char> = if after_letter { c.to_lowercase().collect() } else { c.to_uppercase().collect() };
            after_letter = c.is_alphabetic();
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_basic_plane_passes() {
        assert!(check_plane("naïve ☃ \u{ffff}", String::new).is_ok());
        assert!(check_plane("😀", String::new).is_err());
    }

    #[test]
    fn titles_are_pythons() {
        for (text, wanted) in [("name", "Name"), ("os_distro", "Os_Distro"), ("x2y", "X2Y"), ("ABC d", "Abc D")] {
            assert_eq!(title(text), wanted);
        }
    }
}
