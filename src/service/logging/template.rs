//! Python's `%(name)s` formats, as oslo.log's options use them.

use std::fmt::Write as _;

/// A format that has been taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { name: String, zeros: bool, left: bool, width: usize },
}

impl Template {
    /// Text that is no conversion stands for itself.
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            if let Some((field, behind)) = field(after) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(field);
                rest = behind;
            } else {
                plain.push('%');
                rest = after.strip_prefix("%%").or_else(|| after.strip_prefix('%')).unwrap_or_default();
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    /// Puts values in; `value` gives the text of a name.
    pub(super) fn fill(&self, value: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for part in &self.0 {
            // Writing to a string does not fail.
            let _ = match part {
                Part::Text(text) => out.write_str(text),
                Part::Field { name, zeros: true, width, .. } => write!(out, "{:0>width$}", value(name), width = *width),
                Part::Field { name, left: true, width, .. } => write!(out, "{:<width$}", value(name), width = *width),
                Part::Field { name, width, .. } => write!(out, "{:>width$}", value(name), width = *width),
            };
        }
        out
    }
}

/// `%(name)` with flags, width and one of the conversions that logging formats have.
fn field(text: &str) -> Option<(Part, &str)> {
    let (name, rest) = text.strip_prefix("%(")?.split_once(')')?;
    let flags = rest.find(|character: char| !matches!(character, '0' | '-' | '+' | ' ' | '#')).unwrap_or(rest.len());
    let (flags, rest) = rest.split_at(flags);
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (width, rest) = rest.split_at(digits);
    // A precision has no meaning for what logs show.
    let rest = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let rest = rest.strip_prefix(['s', 'd', 'i', 'f', 'r'])?;
    let part = Part::Field {
        name: name.to_owned(),
        zeros: flags.contains('0'),
        left: flags.contains('-'),
        width: width.parse().unwrap_or(0).min(1000),
    };
    Some((part, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_filled_as_python_does() {
        let value = |name: &str| match name {
            "msecs" => "7".to_owned(),
            name => name.to_uppercase(),
        };
        for (format, expected) in [
            ("%(asctime)s.%(msecs)03d %(name)s", "ASCTIME.007 NAME"),
            ("100%% %(a)s%(b)s", "100% AB"),
            ("[%(levelname)-6s|%(a)4s|%(msecs)5d]", "[LEVELNAME|   A|    7]"),
            ("%(levelname)-11s|", "LEVELNAME  |"),
            ("%(broken %x %", "%(broken %x %"),
            ("%(a)z", "%(a)z"),
            ("", ""),
        ] {
            assert_eq!(Template::new(format).fill(value), expected, "{format}");
        }
    }
}
