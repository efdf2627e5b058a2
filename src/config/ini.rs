//! The dialect of INI that oslo.config reads (`oslo_config/iniparser.py`).
//!
//! * A line is stripped at its end; an empty one ends a value, one that begins with a blank or a tab continues it.
//! * `[name]` opens a section, `#` and `;` begin a comment, both only in the first column.
//! * A key ends at the first `:` or `=`, whichever comes first. One pair of equal quotes around the whole first line of a
//!   value is taken off; nothing else in a value is special: no escapes, no comments behind it.
//! * A key given twice has two values, a section opened twice is one section.

use std::{fmt, io};

/// A file's sections and values, in the order of the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Each opening of a section: its name as written, and its line.
    pub sections: Vec<(String, usize)>,
    /// Each `key = value`.
    pub entries: Vec<Entry>,
}

/// One `key = value` of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the section, as written.
    pub section: String,
    /// Name of the option, as written.
    pub key: String,
    /// The value; continuation lines are joined with line feeds.
    pub value: String,
    /// Line of the key, from 1.
    pub line: usize,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("sections", &self.sections).field("entries", &self.entries).finish()
    }
}

/// Values may be secrets: they are left out.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} at line {}", self.section, self.key, self.line)
    }
}

/// A line that is not of this dialect. The line itself is not shown: it may be the rest of a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: SyntaxErrorKind,
}

/// What can be wrong with a line; the words are oslo.config's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxErrorKind {
    #[error("No ':' or '=' found in assignment")]
    NoSeparator,
    #[error("Key cannot be empty")]
    EmptyKey,
    #[error("Unexpected continuation line")]
    StrayContinuation,
    #[error("Invalid section (must end with ])")]
    OpenSection,
    #[error("Empty section name")]
    EmptySection,
    #[error("Section must be started before assignment")]
    NoSection,
    #[error("is not UTF-8 text")]
    Encoding,
}

/// The text of a file.
///
/// # Errors
///
/// The first line that is not UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<String, SyntaxError> {
    String::from_utf8(bytes).map_err(|error| {
        let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        // What comes before is text.
        let line = lines(&String::from_utf8_lossy(valid)).count();
        SyntaxError { line, kind: SyntaxErrorKind::Encoding }
    })
}

/// The text of another kind of file.
///
/// # Errors
///
/// `InvalidData`, with the first line that is not UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads a whole file.
///
/// # Errors
///
/// The first line that oslo.config would refuse too.
pub fn parse(text: &str) -> Result<Document, SyntaxError> {
    let mut document = Document::default();
    let mut section: Option<&str> = None;
    let mut open: Option<Entry> = None;

    for (number, line) in (1..).zip(lines(text)) {
        let fail = |kind| SyntaxError { line: number, kind };
        let line = line.trim_end_matches(blank);
        if line.is_empty() {
            document.entries.extend(open.take());
        } else if line.starts_with([' ', '\t']) {
            let entry = open.as_mut().ok_or_else(|| fail(SyntaxErrorKind::StrayContinuation))?;
            entry.value.push('\n');
            entry.value.push_str(line.trim_start_matches(blank));
        } else {
            document.entries.extend(open.take());
            if line.starts_with('[') {
                let name = section_name(line).map_err(fail)?;
                document.sections.push((name.to_owned(), number));
                section = Some(name);
            } else if !line.starts_with(['#', ';']) {
                let (key, value) = assignment(line).map_err(fail)?;
                let section = section.ok_or_else(|| fail(SyntaxErrorKind::NoSection))?;
                open = Some(Entry {
                    section: section.to_owned(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    line: number,
                });
            }
        }
    }
    document.entries.extend(open);
    Ok(document)
}

/// Python's text mode ends a line at `\n`, `\r\n` or a lone `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Python's `str.isspace`, which also holds four control characters that Unicode does not call white space.
pub(super) fn blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn section_name(line: &str) -> Result<&str, SyntaxErrorKind> {
    // A lone `[` is unfinished; `[]` has no name.
    let name = line.strip_suffix(']').ok_or(SyntaxErrorKind::OpenSection)?;
    match name.strip_prefix('[') {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(SyntaxErrorKind::EmptySection),
    }
}

fn assignment(line: &str) -> Result<(&str, &str), SyntaxErrorKind> {
    let (key, value) = line.split_once([':', '=']).ok_or(SyntaxErrorKind::NoSeparator)?;
    let key = key.trim_matches(blank);
    if key.is_empty() {
        return Err(SyntaxErrorKind::EmptyKey);
    }
    Ok((key, unquote(value.trim_matches(blank))))
}

/// Takes one pair of equal quotes off. A single quote character is its own pair, as oslo.config has it.
fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return if rest.is_empty() { rest } else { rest.strip_suffix(quote).unwrap_or(value) };
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String, String, usize)> {
        let document = parse(text).unwrap();
        document.entries.into_iter().map(|e| (e.section, e.key, e.value, e.line)).collect()
    }

    fn value(line: &str) -> String {
        values(&format!("[s]\n{line}\n")).pop().unwrap().2
    }

    #[test]
    fn a_line_that_is_no_text_is_named() {
        assert_eq!(decode("[a]\nb = \u{fc}\n".into()).unwrap(), "[a]\nb = \u{fc}\n");
        for (bytes, line) in [(&b"\xff"[..], 1), (b"[a]\nb = \xfc\n", 2), (b"a\r\nb\rc\n\xc3", 4)] {
            assert_eq!(decode(bytes.to_vec()), Err(SyntaxError { line, kind: SyntaxErrorKind::Encoding }));
        }
    }

    #[test]
    fn values_are_taken_as_written() {
        let cases = [
            ("k = v", "v"),
            ("k: v", "v"),
            ("k : a=b", "a=b"),
            ("k = a:b", "a:b"),
            (r"k = ^\d+$\x", r"^\d+$\x"),
            ("k = \"quoted\"", "quoted"),
            ("k = 'single'", "single"),
            ("k = \"half\" tail", "\"half\" tail"),
            ("k = \"open", "\"open"),
            ("k = \"", ""),
            ("k = \"\"", ""),
            ("k = 'a\"", "'a\""),
            ("k = ' spaced '", " spaced "),
            ("k = v # kept ; too", "v # kept ; too"),
            ("k =", ""),
            ("k = v \u{a0}\x1f", "v"),
        ];
        for (line, expected) in cases {
            assert_eq!(value(line), expected, "{line:?}");
        }
    }

    #[test]
    fn continuation_lines_are_joined_until_a_blank_or_a_comment() {
        assert_eq!(value("k = one\n  two\n\tthree \n\nother = x\n"), "x");
        assert_eq!(
            values("[s]\nk = one\n  two\n\tthree \nl=4"),
            [("s".into(), "k".into(), "one\ntwo\nthree".into(), 2), ("s".into(), "l".into(), "4".into(), 5)]
        );
        // An indented comment belongs to the value.
        assert_eq!(value("k = one\n # two"), "one\n# two");
    }

    #[test]
    fn repeated_keys_and_sections_are_all_kept() {
        assert_eq!(
            values("[a]\r\nk=1\r\n[b]\rk=2\n[a]\nk=3\nk=4"),
            [
                ("a".into(), "k".into(), "1".into(), 2),
                ("b".into(), "k".into(), "2".into(), 4),
                ("a".into(), "k".into(), "3".into(), 6),
                ("a".into(), "k".into(), "4".into(), 7)
            ]
        );
    }

    #[test]
    fn section_names_are_not_trimmed() {
        let document = parse("[ a.b ]\n[c]]").unwrap();
        assert_eq!(document.sections, [(" a.b ".to_owned(), 1), ("c]".to_owned(), 2)]);
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            ("[s]\nno separator", 2, SyntaxErrorKind::NoSeparator),
            ("[s]\n= v", 2, SyntaxErrorKind::EmptyKey),
            ("[s]\n\n  k = v", 3, SyntaxErrorKind::StrayContinuation),
            ("[s]\nk=v\n# comment\n more", 4, SyntaxErrorKind::StrayContinuation),
            ("[s", 1, SyntaxErrorKind::OpenSection),
            ("[s] # comment", 1, SyntaxErrorKind::OpenSection),
            ("[", 1, SyntaxErrorKind::OpenSection),
            ("[]", 1, SyntaxErrorKind::EmptySection),
            ("k = v", 1, SyntaxErrorKind::NoSection),
            ("\u{feff}[s]\nk = v", 1, SyntaxErrorKind::NoSeparator),
        ];
        for (text, line, kind) in cases {
            assert_eq!(parse(text), Err(SyntaxError { line, kind }), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[\\[\\]=: \t\r\n#;\"'])*") {
            let _ = parse(&text);
        }
    }
}
