//! The part of a check before the colon: a Python literal, or the path of a credential.

/// What a value of the target is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A literal, as Python's `str()` shows its value.
    Literal(String),
    /// A credential and, rarely, what lies within it.
    Path(Vec<String>),
    /// Python reads neither from it: upstream fails the request whenever such a check is reached.
    Unreadable,
}

impl Subject {
    /// Reads it as upstream's `ast.literal_eval` with its fall-back to a path does.
    pub(super) fn parse(text: &str) -> Self {
        if let Some(literal) = constant(text).or_else(|| number(text)).or_else(|| strings(text)) {
            return Self::Literal(literal);
        }
        if is_expression_of_names(text) {
            return Self::Path(text.split('.').map(str::to_owned).collect());
        }
        Self::Unreadable
    }
}

fn constant(text: &str) -> Option<String> {
    matches!(text, "True" | "False" | "None").then(|| text.to_owned())
}

/// Integers in any of Python's bases and plain decimal fractions, with at most one sign.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let value = integer(digits).or_else(|| fraction(digits))?;
    Some(if value == "0" { value } else { format!("{sign}{value}") })
}

fn integer(text: &str) -> Option<String> {
    let radix = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => {
            let digits = without_underscores(text)?;
            let significant = digits.trim_start_matches('0');
            return match significant {
                "" => Some("0".to_owned()),
                // Python refuses 007.
                _ if significant.len() < digits.len() => None,
                _ => Some(digits),
            };
        }
    };
    let digits = text.get(2..)?.trim_start_matches('_').replace('_', "");
    u128::from_str_radix(&digits, radix).ok().map(|value| value.to_string())
}

fn fraction(text: &str) -> Option<String> {
    let (whole, part) = text.split_once('.')?;
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    for digits in [whole, part] {
        if !digits.is_empty() {
            without_underscores(digits)?;
        }
    }
    let value: f64 = text.replace('_', "").parse().ok()?;
    // Outside these bounds Python would show an exponent.
    (value == 0.0 || (1e-4..1e16).contains(&value)).then(|| format!("{value:?}"))
}

/// The decimal digits of a number that may have single underscores between digits.
fn without_underscores(text: &str) -> Option<String> {
    let groups_are_digits = text.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    groups_are_digits.then(|| text.replace('_', ""))
}

/// One or more quoted strings without space between them, which Python joins.
fn strings(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let raw = rest.strip_prefix(['r', 'R']);
        let quoted = raw.or_else(|| rest.strip_prefix(['u', 'U'])).unwrap_or(rest);
        let quote = quoted.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let body = quoted.strip_prefix(quote)?;
        let (piece, after) = if raw.is_some() { raw_string(body, quote)? } else { plain_string(body, quote)? };
        // Three quotes open a string that spans to the next three.
        if piece.is_empty() && after.starts_with(quote) {
            return None;
        }
        value.push_str(&piece);
        rest = after;
        if rest.is_empty() {
            return Some(value);
        }
    }
}

fn raw_string(body: &str, quote: char) -> Option<(String, &str)> {
    let (piece, after) = body.split_once(quote)?;
    (!piece.ends_with('\\')).then(|| (piece.to_owned(), after))
}

fn plain_string(body: &str, quote: char) -> Option<(String, &str)> {
    let mut piece = String::new();
    let mut characters = body.chars();
    loop {
        match characters.next()? {
            c if c == quote => return Some((piece, characters.as_str())),
            '\\' => escape(&mut characters, &mut piece)?,
            c => piece.push(c),
        }
    }
}

/// Python's escapes; an unknown one stands for itself.
fn escape(characters: &mut std::str::Chars<'_>, piece: &mut String) -> Option<()> {
    let letter = characters.next()?;
    let digits = match letter {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        // Octal, named characters and the control characters nobody compares roles with.
        '0'..='7' | 'N' | 'a' | 'b' | 'f' | 'v' => return None,
        _ => {
            match letter {
                '\\' | '\'' | '"' => piece.push(letter),
                'n' => piece.push('\n'),
                't' => piece.push('\t'),
                'r' => piece.push('\r'),
                _ => piece.extend(['\\', letter]),
            }
            return Some(());
        }
    };
    let code = characters.as_str().get(..digits)?;
    characters.nth(digits - 1)?;
    piece.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?);
    Some(())
}

/// Whether Python parses the text, but not as a literal: names with dots, possibly with minus signs between them
/// (`os-admin` is a difference to Python). Such a text names a credential, even if none is called so.
fn is_expression_of_names(text: &str) -> bool {
    let mut terms = text.split('-').rev();
    let last_is_term = terms.next().is_some_and(is_term);
    last_is_term && terms.all(|term| term.is_empty() || is_term(term))
}

fn is_term(text: &str) -> bool {
    let mut names = text.split('.');
    let first = names.next().unwrap_or_default();
    let starts_well = is_name(first) || constant(first).is_some() || integer(text).is_some();
    starts_well && names.all(is_name)
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && characters.all(|c| c == '_' || c.is_alphanumeric())
        && !KEYWORDS.contains(&text)
}

/// Words that Python does not take for names.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_shown_as_python_shows_them() {
        for (text, expected) in [
            ("True", "True"),
            ("None", "None"),
            ("1", "1"),
            ("-5", "-5"),
            ("+5", "5"),
            ("-0", "0"),
            ("000", "0"),
            ("1_000", "1000"),
            ("0xFf", "255"),
            ("0b101", "5"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("-0.25", "-0.25"),
            ("'public'", "public"),
            ("\"public\"", "public"),
            ("''", ""),
            ("'a''b'", "ab"),
            (r"'it\'s'", "it's"),
            (r"'\x41\u00e9'", "Aé"),
            (r"'\d'", r"\d"),
            (r"r'\x41'", r"\x41"),
        ] {
            assert_eq!(Subject::parse(text), Subject::Literal(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn names_are_paths() {
        for text in ["project_id", "a.b.c", "os-admin", "a--b", "-a", "None.a", "é", "a-1", "--1"] {
            let expected = text.split('.').map(str::to_owned).collect();
            assert_eq!(Subject::parse(text), Subject::Path(expected), "{text}");
        }
    }

    #[test]
    fn what_python_cannot_parse_is_unreadable() {
        for text in ["", "'open", "a..b", ".a", "a.", "a-", "1a", "007", "class", "a.is", "a$b", "'a'b", "1__0", "{'a'"]
        {
            assert_eq!(Subject::parse(text), Subject::Unreadable, "{text}");
        }
    }
}
