//! Python's `pprint.pformat(value, width=72, sort_dicts=False)`, in which jsonschema quotes schemas and values.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

use super::limited::{Limited, QUOTED_MAX, cut};
use super::repr::{quote, quote_within, repr, repr_within};
use super::text::is_space;

const WIDTH: usize = 72;

/// The value as it is laid out, cut after [`QUOTED_MAX`] characters.
pub(in crate::schema) fn excerpt(value: &Value) -> String {
    cut(QUOTED_MAX, |to| Printer { to }.value(value, 0, 0, 0))
}

/// The whole layout of a value that no client sent, such as a schema.
pub(in crate::schema) fn format(value: &Value) -> String {
    cut(usize::MAX, |to| Printer { to }.value(value, 0, 0, 0))
}

struct Printer<'a> {
    to: &'a mut Limited,
}

impl Printer<'_> {
    /// `indent`: column where the value starts. `allowance`: columns that closing brackets after it will need. `level`: depth.
    fn value(&mut self, value: &Value, indent: usize, allowance: usize, level: usize) -> fmt::Result {
        if let Some(line) = repr_within(value, WIDTH.saturating_sub(indent + allowance)) {
            return self.to.write_str(&line);
        }
        match value {
            Value::Object(members) => self.members(members, indent, allowance + 1, level + 1),
            Value::Array(items) => self.items(items, indent, allowance + 1, level + 1),
            Value::String(text) if !text.is_empty() => self.string(text, indent, allowance, level + 1),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => self.to.write_str(&repr(value)),
        }
    }

    fn members(&mut self, members: &Map<String, Value>, indent: usize, allowance: usize, level: usize) -> fmt::Result {
        let indent = indent + 1;
        self.to.write_char('{')?;
        for (index, (key, value)) in members.iter().enumerate() {
            let key = quote(key);
            self.separate(index, indent)?;
            write!(self.to, "{key}: ")?;
            let is_last = index + 1 == members.len();
            self.value(value, indent + key.chars().count() + 2, if is_last { allowance } else { 1 }, level)?;
        }
        self.to.write_char('}')
    }

    fn items(&mut self, items: &[Value], indent: usize, allowance: usize, level: usize) -> fmt::Result {
        let indent = indent + 1;
        self.to.write_char('[')?;
        for (index, item) in items.iter().enumerate() {
            self.separate(index, indent)?;
            self.value(item, indent, if index + 1 == items.len() { allowance } else { 1 }, level)?;
        }
        self.to.write_char(']')
    }

    fn separate(&mut self, index: usize, indent: usize) -> fmt::Result {
        if index == 0 { Ok(()) } else { self.to.write_str(",").and_then(|()| self.next_line(indent)) }
    }

    fn next_line(&mut self, indent: usize) -> fmt::Result {
        self.to.write_char('\n')?;
        (0..indent).try_for_each(|_| self.to.write_char(' '))
    }

    /// A long string becomes several, broken after white space, in parentheses if it is alone.
    fn string(&mut self, text: &str, indent: usize, allowance: usize, level: usize) -> fmt::Result {
        let is_alone = level == 1;
        let (indent, allowance) = if is_alone { (indent + 1, allowance + 1) } else { (indent, allowance) };
        // The first is held back until it is known whether there are more.
        let mut held = None;
        let mut count = 0;
        each_chunk(text, WIDTH.saturating_sub(indent), allowance, |chunk| {
            count += 1;
            if count == 1 {
                held = Some(chunk);
                return Ok(());
            }
            if let Some(first) = held.take() {
                self.to.write_str(if is_alone { "(" } else { "" })?;
                self.to.write_str(&first)?;
            }
            self.next_line(indent)?;
            self.to.write_str(&chunk)
        })?;
        match held {
            Some(only) => self.to.write_str(&only),
            None => self.to.write_str(if is_alone { ")" } else { "" }),
        }
    }
}

/// Calls `take` with the pieces of a string, quoted, until it fails.
fn each_chunk(text: &str, width: usize, allowance: usize, mut take: impl FnMut(String) -> fmt::Result) -> fmt::Result {
    let mut lines = lines(text).peekable();
    while let Some(line) = lines.next() {
        let is_last_line = lines.peek().is_none();
        let room = |is_last: bool| if is_last_line && is_last { width.saturating_sub(allowance) } else { width };
        if let Some(whole) = quote_within(line, room(true)) {
            take(whole)?;
            continue;
        }
        let mut words = words(line).peekable();
        let mut current = String::new();
        while let Some(word) = words.next() {
            let room = room(words.peek().is_none());
            // The quotes and escapes of what is there already are counted anew, as they may change. A character has four
            // bytes at most.
            let may_fit = (current.len() + word.len()) / 4 <= room;
            if may_fit && quote_within(&format!("{current}{word}"), room).is_some() {
                current.push_str(word);
                continue;
            }
            if !current.is_empty() {
                take(quote(&current))?;
            }
            word.clone_into(&mut current);
        }
        if !current.is_empty() {
            take(quote(&current))?;
        }
    }
    Ok(())
}

/// Python's `str.splitlines(True)`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let is_break = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(is_break).map_or(rest.len(), |at| {
            let (_, from_break) = rest.split_at(at);
            let is_pair = from_break.starts_with("\r\n");
            at + if is_pair { 2 } else { from_break.chars().next().map_or(1, char::len_utf8) }
        });
        let (line, more) = rest.split_at(end);
        rest = more;
        Some(line)
    })
}

/// Words with the white space after them; the first may be white space alone.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut after_space = false;
        let next = rest.char_indices().find(|(_, c)| {
            let starts_word = after_space && !is_space(*c);
            after_space = is_space(*c);
            starts_word
        });
        let (word, more) = rest.split_at(next.map_or(rest.len(), |(at, _)| at));
        rest = more;
        Some(word)
    })
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
    /// The indentation alone would be as many characters as the key has, for each item.
    #[test]
    fn a_layout_of_a_value_that_a_client_sent_is_cut_while_it_is_made() {
        let value = json!({"k".repeat(20_000): vec![0; 20_000]});
        assert_eq!(excerpt(&value), format!("{{'{}...", "k".repeat(QUOTED_MAX - 2)));
        let value = json!({"k".repeat(2_000): vec![0; 20_000]});
        let text = excerpt(&value);
        assert!(text.starts_with(&format!("{{'{}': [0,\n", "k".repeat(2_000))) && text.ends_with("..."), "{text}");
        assert_eq!(text.chars().count(), QUOTED_MAX + 3);
        for long in [" ", "x", "x ", "\n", "\u{1}\u{2028}"] {
            let text = excerpt(&json!(long.repeat(1_000_000)));
            assert_eq!(text.chars().count(), QUOTED_MAX + 3, "{long:?}");
        }
        let short = json!({"a": ["word ".repeat(100)]});
        assert_eq!(excerpt(&short), format(&short));
    }
}
