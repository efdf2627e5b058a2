//! Methods of Python's `str`, and what `str()` makes of its simplest values.

use std::borrow::Cow;

/// What Python takes for white space.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// `text.strip()`
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `text.title()`: the first letter of each run of letters in upper case, the others in lower case.
pub(crate) fn title(text: &str) -> String {
    let mut after_letter = false;
    text.chars()
        .flat_map(|c| {
            let cased: Vec<char> = if after_letter { c.to_lowercase().collect() } else { c.to_uppercase().collect() };
            after_letter = c.is_alphabetic();
            cased
        })
        .collect()
}

/// `str(value)` of a boolean.
pub(crate) fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `str(value)` of a text that may be missing.
pub(crate) fn or_none(text: Option<&str>) -> &str {
    text.unwrap_or("None")
}

/// `str(value)` of a whole number that may be missing.
pub(crate) fn number_or_none(number: Option<i128>) -> Cow<'static, str> {
    match number {
        Some(number) => Cow::Owned(number.to_string()),
        None => Cow::Borrowed(or_none(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_pythons() {
        assert_eq!(strip("\u{1f} a \u{a0}\n"), "a");
        assert!(!is_space('\u{200b}'));
    }

    #[test]
    fn titles_are_pythons() {
        for (text, wanted) in [("name", "Name"), ("os_distro", "Os_Distro"), ("x2y", "X2Y"), ("ABC d", "Abc D")] {
            assert_eq!(title(text), wanted);
        }
    }

    #[test]
    fn simple_values_are_shown_as_str_shows_them() {
        assert_eq!((boolean(true), boolean(false)), ("True", "False"));
        assert_eq!((or_none(None), or_none(Some("x"))), ("None", "x"));
        assert_eq!((&*number_or_none(None), &*number_or_none(Some(-1))), ("None", "-1"));
    }
}
