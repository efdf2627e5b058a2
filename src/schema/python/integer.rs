//! Integers as Python reads them from a text.

use super::strip;

/// The zeros of the decimal digits beyond ASCII (category Nd of Unicode 14, as in CPython 3.11); each begins a run of ten.
const ZEROS: [u32; 65] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50,
    0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
    0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136,
    0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0,
    0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// Python's `int(text)` in the range of a column; what is beyond becomes the nearest.
pub(crate) fn column(text: &str) -> Option<i64> {
    integer(text).map(|number| i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }))
}

/// Python's `int(text)`; what is beyond 128 bits becomes the nearest.
pub(crate) fn integer(text: &str) -> Option<i128> {
    /// Python refuses longer texts.
    const DIGITS_MAX: usize = 4300;
    let text = strip(text);
    let (is_negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let mut plain = String::with_capacity(digits.len() + 1);
    if is_negative {
        plain.push('-');
    }
    let sign = plain.len();
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for c in group.chars() {
            plain.push(digit(c)?);
        }
    }
    if plain.len() - sign > DIGITS_MAX {
        return None;
    }
    Some(plain.parse().unwrap_or(if is_negative { i128::MIN } else { i128::MAX }))
}

/// The ASCII digit of the same value.
fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c).filter(char::is_ascii_digit);
    }
    let code = u32::from(c);
    let zero = ZEROS.get(ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?)?;
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, number) in [
            ("5", Some(5)),
            (" 5\t", Some(5)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("007", Some(7)),
            ("1_000", Some(1000)),
            ("99999999999999999999", Some(99_999_999_999_999_999_999)),
            ("", None),
            ("-", None),
            ("+-5", None),
            ("_5", None),
            ("5_", None),
            ("1__0", None),
            ("- 5", None),
            ("5, 5", None),
            ("5.0", None),
        ] {
            assert_eq!(integer(text), number, "{text:?}");
        }
        assert_eq!((column("99999999999999999999"), column("-99999999999999999999")), (Some(i64::MAX), Some(i64::MIN)));
    }

    /// Expectations from CPython 3.11.
    #[test]
    fn digits_are_those_of_every_script() {
        for (text, value) in [
            ("٥", Some(5)),
            ("\u{a0}５_0\u{2003}", Some(50)),
            ("-𝟏٢", Some(-12)),
            ("𝟿", Some(9)),
            ("²", None),
            ("Ⅴ", None),
            ("五", None),
            ("\u{66a}", None),
            ("/", None),
            ("", None),
            ("1__0", None),
        ] {
            assert_eq!(integer(text), value, "{text:?}");
        }
        assert!(ZEROS.is_sorted());
    }
}
