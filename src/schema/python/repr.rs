//! JSON values as Python writes them, since upstream's error texts quote them.

use serde_json::{Map, Number, Value};

/// `repr(value)`
pub(crate) fn repr(value: &Value) -> String {
    repr_within(value, usize::MAX).unwrap_or_default()
}

/// `str(value)`: a string as it is, anything else as [`repr`].
pub(crate) fn display(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(text)`
pub(crate) fn quote(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == quote => quoted.extend(['\\', c]),
            c if is_printable(c) => quoted.push(c),
            c if c < '\u{100}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c < '\u{10000}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push(quote);
    quoted
}

/// The representation, if it has no more characters than `width`. Stops as soon as it has.
pub(super) fn repr_within(value: &Value, width: usize) -> Option<String> {
    let mut line = Line { text: String::new(), room: width };
    line.value(value)?;
    Some(line.text)
}

struct Line {
    text: String,
    room: usize,
}

impl Line {
    fn push(&mut self, text: &str) -> Option<()> {
        self.room = self.room.checked_sub(text.chars().count())?;
        self.text.push_str(text);
        Some(())
    }

    fn value(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Null => self.push("None"),
            Value::Bool(true) => self.push("True"),
            Value::Bool(false) => self.push("False"),
            Value::Number(number) => self.push(&repr_number(number)),
            Value::String(text) => self.string(text),
            Value::Array(items) => self.items(items),
            Value::Object(members) => self.members(members),
        }
    }

    fn string(&mut self, text: &str) -> Option<()> {
        // A character has four bytes at most: what cannot fit is not worth quoting.
        if text.len() / 4 > self.room {
            return None;
        }
        self.push(&quote(text))
    }

    fn items(&mut self, items: &[Value]) -> Option<()> {
        self.push("[")?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(", ")?;
            }
            self.value(item)?;
        }
        self.push("]")
    }

    fn members(&mut self, members: &Map<String, Value>) -> Option<()> {
        self.push("{")?;
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                self.push(", ")?;
            }
            self.string(key)?;
            self.push(": ")?;
            self.value(value)?;
        }
        self.push("}")
    }
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
}
