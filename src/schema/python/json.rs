//! JSON as Python writes it: in columns, and in the documents of the rooms above.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// A value as Python's `json.dumps` writes it: a space after `,` and `:`, and ASCII alone.
///
/// # Errors
/// Where the value has no form in JSON.
pub(crate) fn to_bytes(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Bytes> {
    write(value, PythonStyle { ensure_ascii: true })
}

/// As [`to_bytes`], with other than ASCII characters as they are (`json.dumps` with `ensure_ascii=False`).
///
/// # Errors
/// Where the value has no form in JSON.
pub(crate) fn to_unicode(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Bytes> {
    write(value, PythonStyle { ensure_ascii: false })
}

/// As [`to_bytes`], of a value that has a form in JSON in any case.
pub(crate) fn to_text(value: &serde_json::Value) -> String {
    // Writing a value into memory cannot fail, and what is written is ASCII.
    to_bytes(value).ok().and_then(|text| String::from_utf8(text.into()).ok()).unwrap_or_else(|| value.to_string())
}

fn write(value: &(impl Serialize + ?Sized), style: PythonStyle) -> serde_json::Result<Bytes> {
    let mut text = Vec::with_capacity(1024);
    value.serialize(&mut Serializer::with_formatter(&mut text, style))?;
    Ok(Bytes::from(text))
}

/// Blanks and escapes as Python's `json` module writes them.
struct PythonStyle {
    ensure_ascii: bool,
}

impl Formatter for PythonStyle {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !self.ensure_ascii {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !(' '..='~').contains(&c)) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expectations from Python's `json.dumps`.
    #[test]
    fn json_is_written_as_python_writes_it() {
        let value = serde_json::json!({"a": [1, "x", null, true], "b": {}, "c": [], "d\u{e9}": "\u{1f388}\u{7f}\u{1}\u{8}\t\"\\/"});
        let expected =
            r#"{"a": [1, "x", null, true], "b": {}, "c": [], "d\u00e9": "\ud83c\udf88\u007f\u0001\b\t\"\\/"}"#;
        assert_eq!(to_bytes(&value).unwrap(), expected);
    }
}
