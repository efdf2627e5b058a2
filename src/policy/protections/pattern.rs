//! Regular expressions as Python's `re` writes them, in the words of the `regex` crate.
//!
//! What the crate cannot do (looking around, back-references) is refused, as is what Python refuses. The names of properties
//! are searched, not matched from their start.

use std::iter::Peekable;
use std::str::Chars;

/// The expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPattern {
    #[error("{0} cannot be used here")]
    Unsupported(&'static str),
    #[error("{0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Syntax(#[from] regex::Error),
}

/// The same expression for the `regex` crate.
pub(super) fn translate(pattern: &str) -> Result<String, BadPattern> {
    let mut translator = Translator { rest: pattern.chars().peekable(), text: String::new(), is_repeated: false };
    translator.run()?;
    regex::Regex::new(&translator.text)?;
    Ok(translator.text)
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    text: String,
    /// What was read last is a repetition.
    is_repeated: bool,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), BadPattern> {
        while let Some(character) = self.rest.next() {
            let was_repeated = std::mem::take(&mut self.is_repeated);
            match character {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group()?,
                // At the end, or before a line feed that ends it.
                '$' => self.text.push_str(r"(?:\n?\z)"),
                '*' | '+' | '?' => self.repeat(&character.to_string(), was_repeated)?,
                '{' => match self.count() {
                    Some(count) => self.repeat(&count, was_repeated)?,
                    None => self.literal('{'),
                },
                '.' | '^' | '|' | ')' => self.text.push(character),
                other => self.literal(other),
            }
        }
        Ok(())
    }

    fn literal(&mut self, character: char) {
        self.text.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
    }

    fn repeat(&mut self, how: &str, was_repeated: bool) -> Result<(), BadPattern> {
        if was_repeated {
            return Err(BadPattern::Malformed("multiple repeat"));
        }
        self.text.push_str(how);
        match self.rest.peek() {
            Some('?') => {
                self.rest.next();
                self.text.push('?');
            }
            Some('+') => return Err(BadPattern::Unsupported("a possessive repetition")),
            _ => {}
        }
        self.is_repeated = true;
        Ok(())
    }

    /// What follows an opening brace, if it makes a repetition.
    fn count(&mut self) -> Option<String> {
        let text: String = self.rest.clone().take_while(|character| *character != '}').collect();
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (least, most) = text.split_once(',').map_or((text.as_str(), None), |(least, most)| (least, Some(most)));
        let is_closed = self.rest.clone().nth(text.chars().count()) == Some('}');
        if !is_closed || text.is_empty() || !is_number(least) || !most.is_none_or(is_number) {
            return None;
        }
        self.rest.nth(text.chars().count());
        let least = if least.is_empty() { "0" } else { least };
        Some(most.map_or_else(|| format!("{{{least}}}"), |most| format!("{{{least},{most}}}")))
    }

    /// What follows a backslash.
    fn escape(&mut self, is_in_class: bool) -> Result<(), BadPattern> {
        let character = self.rest.next().ok_or(BadPattern::Malformed("bad escape (end of pattern)"))?;
        match character {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                self.text.push('\\');
                self.text.push(character);
            }
            'A' | 'B' | 'b' if !is_in_class => {
                self.text.push('\\');
                self.text.push(character);
            }
            'Z' if !is_in_class => self.text.push_str(r"\z"),
            'b' => self.literal('\u{8}'),
            'a' => self.literal('\u{7}'),
            'f' => self.literal('\u{c}'),
            'n' => self.literal('\n'),
            'r' => self.literal('\r'),
            't' => self.literal('\t'),
            'v' => self.literal('\u{b}'),
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            '0'..='7' => self.octal(character, is_in_class)?,
            '8' | '9' => return Err(BadPattern::Unsupported("a back-reference")),
            other if other.is_ascii_alphabetic() => return Err(BadPattern::Malformed("bad escape")),
            other => self.literal(other),
        }
        Ok(())
    }

    fn code(&mut self, digits: usize) -> Result<(), BadPattern> {
        let text: String = self.rest.by_ref().take(digits).collect();
        let is_whole = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(&text, 16).ok().filter(|_| is_whole).and_then(char::from_u32);
        self.literal(code.ok_or(BadPattern::Malformed("incomplete escape"))?);
        Ok(())
    }

    /// A character by its number, which outside of a class begins with zero or has three digits.
    fn octal(&mut self, first: char, is_in_class: bool) -> Result<(), BadPattern> {
        let mut digits = String::from(first);
        while digits.len() < 3
            && let Some(digit) = self.rest.next_if(|next| ('0'..='7').contains(next))
        {
            digits.push(digit);
        }
        if first != '0' && !is_in_class && digits.len() < 3 {
            return Err(BadPattern::Unsupported("a back-reference"));
        }
        let code = u32::from_str_radix(&digits, 8).ok().filter(|code| *code <= 0o377).and_then(char::from_u32);
        self.literal(code.ok_or(BadPattern::Malformed("octal escape value outside of range"))?);
        Ok(())
    }

    fn class(&mut self) -> Result<(), BadPattern> {
        self.text.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.text.push('^');
        }
        let mut is_first = true;
        loop {
            match self.rest.next().ok_or(BadPattern::Malformed("unterminated character set"))? {
                ']' if !is_first => break,
                '\\' => self.escape(true)?,
                // A range, unless it is the last.
                '-' if !is_first && self.rest.peek() != Some(&']') => self.text.push('-'),
                // Written as a number, no character has a meaning of its own.
                other => self.text.push_str(&format!("\\x{{{:x}}}", u32::from(other))),
            }
            is_first = false;
        }
        self.text.push(']');
        Ok(())
    }

    /// What follows an opening parenthesis.
    fn group(&mut self) -> Result<(), BadPattern> {
        if self.rest.next_if_eq(&'?').is_none() {
            self.text.push('(');
            return Ok(());
        }
        match self.rest.next() {
            Some(':') => self.text.push_str("(?:"),
            Some('P') => match self.rest.next() {
                Some('<') => {
                    self.text.push('(');
                    let is_closed = self.rest.any(|character| character == '>');
                    return if is_closed { Ok(()) } else { Err(BadPattern::Malformed("missing >")) };
                }
                Some('=') => return Err(BadPattern::Unsupported("a back-reference")),
                _ => return Err(BadPattern::Malformed("unknown extension")),
            },
            Some('#') => {
                let is_closed = self.rest.any(|character| character == ')');
                return if is_closed { Ok(()) } else { Err(BadPattern::Malformed("missing ), unterminated comment")) };
            }
            Some('=' | '!' | '<') => return Err(BadPattern::Unsupported("looking ahead or behind")),
            Some('>') => return Err(BadPattern::Unsupported("an atomic group")),
            Some('(') => return Err(BadPattern::Unsupported("a conditional expression")),
            Some(flag) => return self.flags(flag),
            None => return Err(BadPattern::Malformed("unexpected end of pattern")),
        }
        Ok(())
    }

    fn flags(&mut self, first: char) -> Result<(), BadPattern> {
        let is_at_start = self.text.is_empty();
        let mut flags = String::new();
        let mut flag = Some(first);
        loop {
            match flag {
                Some('i' | 's' | '-') => flags.extend(flag),
                // What all expressions have.
                Some('u') => {}
                Some(end @ (')' | ':')) => {
                    if end == ')' && !is_at_start {
                        return Err(BadPattern::Malformed("global flags not at the start of the expression"));
                    }
                    if end == ':' || !flags.is_empty() {
                        self.text.push_str("(?");
                        self.text.push_str(&flags);
                        self.text.push(end);
                    }
                    return Ok(());
                }
                Some('a' | 'L' | 'm' | 'x') => return Err(BadPattern::Unsupported("a flag other than i, s and u")),
                _ => return Err(BadPattern::Malformed("unknown extension")),
            }
            flag = self.rest.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3.11 found with `re.search`.
    #[test]
    fn finds_what_python_finds() {
        for (pattern, text, expected) in [
            ("^x_.*", "x_owner", true),
            ("^x_.*", "ax_owner", false),
            ("x_owner", "ax_owner_b", true),
            (".*", "", true),
            ("[0-9]", "v7", true),
            ("[]x]", "]", true),
            ("[[]", "[", true),
            ("[a&&b]", "&", true),
            ("[a-]", "-", true),
            (r"[\d-]", "-", true),
            (r"[\w]", "é", true),
            ("a{", "a{", true),
            ("a{,2}b", "b", true),
            ("a{1,}$", "aa", true),
            ("a{x}", "a{x}", true),
            ("^a$", "a\n", true),
            (r"^a\Z", "a\n", false),
            (r"\<a\>", "<a>", true),
            (r"\x41\u0042\103", "ABC", true),
            (r"[\b]", "\u{8}", true),
            (r"a\.b", "axb", false),
            ("(?i)prop", "PROP", true),
            ("(?i:p)rop", "Prop", true),
            ("(?u)a", "a", true),
            ("(?P<n>a|b)c", "bc", true),
            ("(?:a)(?#what)b", "ab", true),
            ("a+?b", "aab", true),
            ("#a b~", "#a b~", true),
        ] {
            let translated = translate(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex::Regex::new(&translated).unwrap().is_match(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_cannot_be_searched_for_is_refused() {
        for pattern in [
            "*", "a**", "(", ")", "[a", "a\\", r"\q", r"[\q]", "(?P<n", "(?#", "(?", "(?z)", "a(?i)", r"\x4", "[b-a]",
            r"(a)\1", r"\8", "(?P=n)", "(?=a)", "(?!a)", "(?<=a)", "(?>a)", "(?(1)a)", "a++", "(?x)a", "(?m)a",
            r"\400",
        ] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
    }
}
