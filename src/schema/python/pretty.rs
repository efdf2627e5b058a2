//! Python's `pprint.pformat(value, width=72, sort_dicts=False)`, in which jsonschema quotes schemas and values.

use serde_json::{Map, Value};

use super::repr::{quote, repr, repr_within};
use super::text::is_space;

const WIDTH: usize = 72;

pub(in crate::schema) fn format(value: &Value) -> String {
    let mut printer = Printer { text: String::new() };
    printer.value(value, 0, 0, 0);
    printer.text
}

struct Printer {
    text: String,
}

impl Printer {
    /// `indent`: column where the value starts. `allowance`: columns that closing brackets after it will need. `level`: depth.
    fn value(&mut self, value: &Value, indent: usize, allowance: usize, level: usize) {
        if let Some(line) = repr_within(value, WIDTH.saturating_sub(indent + allowance)) {
            self.text.push_str(&line);
            return;
        }
        match value {
            Value::Object(members) => self.members(members, indent, allowance + 1, level + 1),
            Value::Array(items) => self.items(items, indent, allowance + 1, level + 1),
            Value::String(text) if !text.is_empty() => self.string(text, indent, allowance, level + 1),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => self.text.push_str(&repr(value)),
        }
    }

    fn members(&mut self, members: &Map<String, Value>, indent: usize, allowance: usize, level: usize) {
        let indent = indent + 1;
        self.text.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            let key = quote(key);
            self.separate(index, indent);
            self.text.push_str(&key);
            self.text.push_str(": ");
            let is_last = index + 1 == members.len();
            self.value(value, indent + key.chars().count() + 2, if is_last { allowance } else { 1 }, level);
        }
        self.text.push('}');
    }

    fn items(&mut self, items: &[Value], indent: usize, allowance: usize, level: usize) {
        let indent = indent + 1;
        self.text.push('[');
        for (index, item) in items.iter().enumerate() {
            self.separate(index, indent);
            self.value(item, indent, if index + 1 == items.len() { allowance } else { 1 }, level);
        }
        self.text.push(']');
    }

    fn separate(&mut self, index: usize, indent: usize) {
        if index > 0 {
            self.text.push_str(",\n");
            self.text.extend(std::iter::repeat_n(' ', indent));
        }
    }

    /// A long string becomes several, broken after white space, in parentheses if it is alone.
    fn string(&mut self, text: &str, indent: usize, allowance: usize, level: usize) {
        let is_alone = level == 1;
        let (indent, allowance) = if is_alone { (indent + 1, allowance + 1) } else { (indent, allowance) };
        let chunks = chunks(text, WIDTH.saturating_sub(indent), allowance);
        let parentheses = is_alone && chunks.len() > 1;
        if parentheses {
            self.text.push('(');
        }
        for (index, chunk) in chunks.iter().enumerate() {
            if index > 0 {
                self.text.push('\n');
                self.text.extend(std::iter::repeat_n(' ', indent));
            }
            self.text.push_str(chunk);
        }
        if parentheses {
            self.text.push(')');
        }
    }
}

fn chunks(text: &str, width: usize, allowance: usize) -> Vec<String> {
    let mut chunks = Vec::new();
    let lines = lines(text);
    for (index, line) in lines.iter().enumerate() {
        let is_last_line = index + 1 == lines.len();
        let whole = quote(line);
        let room = if is_last_line { width.saturating_sub(allowance) } else { width };
        if whole.chars().count() <= room {
            chunks.push(whole);
            continue;
        }
        let words = words(line);
        let mut current = String::new();
        for (index, word) in words.iter().enumerate() {
            let is_last = is_last_line && index + 1 == words.len();
            let room = if is_last { width.saturating_sub(allowance) } else { width };
            // The quotes and escapes of what is there already are counted anew, as they may change.
            if quote(&format!("{current}{word}")).chars().count() > room {
                if !current.is_empty() {
                    chunks.push(quote(&current));
                }
                current = (*word).to_owned();
            } else {
                current.push_str(word);
            }
        }
        if !current.is_empty() {
            chunks.push(quote(&current));
        }
    }
    chunks
}

/// Python's `str.splitlines(True)`.
fn lines(text: &str) -> Vec<&str> {
    let is_break = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_break) {
        let (_, from_break) = rest.split_at(at);
        let length =
            if from_break.starts_with("\r\n") { 2 } else { from_break.chars().next().map_or(1, char::len_utf8) };
        let (line, more) = rest.split_at(at + length);
        lines.push(line);
        rest = more;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Words with the white space after them; the first may be white space alone.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut after_space = false;
    for (at, c) in line.char_indices() {
        if after_space && !is_space(c) {
            words.extend(line.get(start..at));
            start = at;
        }
        after_space = is_space(c);
    }
    words.extend(line.get(start..));
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expectations from CPython 3.11.
    #[test]
    fn values_are_laid_out_as_python_does() {
        let table = [
            (json!({"type": ["null", "string"], "maxLength": 255}), "{'type': ['null', 'string'], 'maxLength': 255}"),
            (
                json!({"type": ["null", "string"], "description": "Descriptive name for the image", "maxLength": 255}),
                "{'type': ['null', 'string'],\n 'description': 'Descriptive name for the image',\n 'maxLength': 255}",
            ),
            (
                json!("word ".repeat(20)),
                "('word word word word word word word word word word word word word '\n 'word word word word word word word ')",
            ),
            (json!({"x".repeat(80): ""}), &format!("{{'{}': ''}}", "x".repeat(80))),
            (json!("x".repeat(80)), &format!("'{}'", "x".repeat(80))),
            (
                json!([[
                    "word ".repeat(16),
                    "first line\nsecond line that goes on and on and on and on and on and on and on"
                ]]),
                "[['word word word word word word word word word word word word word '\n  'word word word ',\n  \
                 'first line\\n'\n  'second line that goes on and on and on and on and on and on and on']]",
            ),
        ];
        for (value, text) in table {
            assert_eq!(format(&value), text);
        }
    }
}
