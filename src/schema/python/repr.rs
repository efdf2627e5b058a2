//! JSON values as Python writes them, since upstream's error texts quote them.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde_json::{Map, Number, Value};

use super::limited::{Limited, QUOTED_MAX, cut};

/// `repr(value)`, cut after [`QUOTED_MAX`] characters.
pub(crate) fn repr(value: &Value) -> String {
    cut(QUOTED_MAX, |to| write_repr(to, value))
}

/// The representations of several values with commas between them, cut after [`QUOTED_MAX`] characters.
pub(crate) fn reprs<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    cut(QUOTED_MAX, |to| separated(to, values, write_repr))
}

/// `str(value)`: a string as it is, anything else as [`repr`].
pub(crate) fn display(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(repr(other)),
    }
}

/// `repr(text)`, cut after [`QUOTED_MAX`] characters.
pub(crate) fn quote(text: &str) -> String {
    cut(QUOTED_MAX, |to| write_quoted(to, text))
}

/// The representations of several texts with commas between them, cut after [`QUOTED_MAX`] characters.
pub(crate) fn quotes<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    cut(QUOTED_MAX, |to| separated(to, texts, write_quoted))
}

/// `[index]` or `['key']` for each step, cut after [`QUOTED_MAX`] characters.
pub(crate) fn subscripts<'a>(steps: impl IntoIterator<Item = Result<usize, &'a str>>) -> String {
    cut(QUOTED_MAX, |to| {
        steps.into_iter().try_for_each(|step| match step {
            Ok(index) => write!(to, "[{index}]"),
            Err(key) => {
                to.write_char('[')?;
                write_quoted(to, key)?;
                to.write_char(']')
            }
        })
    })
}

/// The representation, if it has no more characters than `width`. Stops as soon as it has.
pub(super) fn repr_within(value: &Value, width: usize) -> Option<String> {
    let mut line = Limited::whole(width);
    write_repr(&mut line, value).ok()?;
    Some(line.into_text())
}

/// As [`repr_within`], of a text.
pub(super) fn quote_within(text: &str, width: usize) -> Option<String> {
    let mut line = Limited::whole(width);
    write_quoted(&mut line, text).ok()?;
    Some(line.into_text())
}

pub(super) fn write_quoted(to: &mut Limited, text: &str) -> fmt::Result {
    if to.is_hopeless(text) {
        return Err(fmt::Error);
    }
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    to.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => to.write_str("\\\\")?,
            '\n' => to.write_str("\\n")?,
            '\r' => to.write_str("\\r")?,
            '\t' => to.write_str("\\t")?,
            c if c == quote => write!(to, "\\{c}")?,
            c if is_printable(c) => to.write_char(c)?,
            c if c < '\u{100}' => write!(to, "\\x{:02x}", u32::from(c))?,
            c if c < '\u{10000}' => write!(to, "\\u{:04x}", u32::from(c))?,
            c => write!(to, "\\U{:08x}", u32::from(c))?,
        }
    }
    to.write_char(quote)
}

fn write_repr(to: &mut Limited, value: &Value) -> fmt::Result {
    match value {
        Value::Null => to.write_str(super::or_none(None)),
        Value::Bool(flag) => to.write_str(super::boolean(*flag)),
        Value::Number(number) => to.write_str(&repr_number(number)),
        Value::String(text) => write_quoted(to, text),
        Value::Array(items) => {
            to.write_char('[')?;
            separated(to, items, write_repr)?;
            to.write_char(']')
        }
        Value::Object(members) => write_members(to, members),
    }
}

fn write_members(to: &mut Limited, members: &Map<String, Value>) -> fmt::Result {
    to.write_char('{')?;
    separated(to, members, |to, (key, value)| {
        write_quoted(to, key)?;
        to.write_str(": ")?;
        write_repr(to, value)
    })?;
    to.write_char('}')
}

fn separated<T>(
    to: &mut Limited,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Limited, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            to.write_str(", ")?;
        }
        write(to, item)?;
    }
    Ok(())
}

fn repr_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => repr_float(float),
        _ => number.to_string(),
    }
}

/// The shortest digits that give the number back, with an exponent below 0.0001 and from 1e16 on.
fn repr_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = float.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Python and Rust use the same categories of Unicode; Rust's escaping is asked for a character that does not come first, because
/// it also escapes a leading combining mark.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut escaped = [None; 4];
    let text = [' ', c].iter().collect::<String>();
    for (place, found) in escaped.iter_mut().zip(text.escape_debug().skip(1)) {
        *place = Some(found);
    }
    match escaped {
        [Some(only), None, ..] => only == c,
        // Quotes and the backslash come with a backslash, and are printable.
        [Some('\\'), Some(second), None, _] => second == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expectations from CPython 3.11.
    #[test]
    fn values_are_represented_as_python_does() {
        let table = [
            (json!(null), "None"),
            (json!([true, false, {}]), "[True, False, {}]"),
            (json!({"b": [1, -2.5], "a": "x"}), "{'b': [1, -2.5], 'a': 'x'}"),
            (json!("it's"), "\"it's\""),
            (json!("it's \"x\""), "'it\\'s \"x\"'"),
            (json!("\"x\"\\"), "'\"x\"\\\\'"),
            (json!("a\n\t\r\u{0}\u{7f}\u{a0}\u{ad}"), "'a\\n\\t\\r\\x00\\x7f\\xa0\\xad'"),
            (json!("é\u{301}☃😀\u{200b}\u{e000}\u{e0001}"), "'é\u{301}☃😀\\u200b\\ue000\\U000e0001'"),
            (json!(1.0), "1.0"),
            (json!(1e15), "1000000000000000.0"),
            (json!(1e16), "1e+16"),
            (json!(1.5e300), "1.5e+300"),
            (json!(0.0001), "0.0001"),
            (json!(0.000012), "1.2e-05"),
            (json!(u64::MAX), "18446744073709551615"),
        ];
        for (value, text) in table {
            assert_eq!(repr(&value), text);
            assert_eq!(repr_within(&value, text.chars().count()).as_deref(), Some(text));
            assert_eq!(repr_within(&value, text.chars().count() - 1), None);
        }
        assert_eq!(display(&json!("it's")), "it's");
    }

    #[test]
    fn quotations_are_cut_while_they_are_made() {
        let room = "x".repeat(QUOTED_MAX - 2);
        assert_eq!(repr(&json!(room)), format!("'{room}'"));
        assert_eq!(repr(&json!([room])), format!("['{room}..."));
        assert_eq!(quotes(["a", "b"]), "'a', 'b'");
        assert_eq!(quotes(std::iter::repeat("a")).len(), QUOTED_MAX + 3, "an endless list ends");
        assert_eq!(subscripts([Err("a"), Ok(1), Err("it's")]), "['a'][1][\"it's\"]");
        // Escapes are longer than what they stand for.
        assert_eq!(repr(&json!("\u{e0001}".repeat(QUOTED_MAX))).len(), QUOTED_MAX + 3);
        assert_eq!(reprs(&[json!(1), json!("x")]), "1, 'x'");
    }
}
