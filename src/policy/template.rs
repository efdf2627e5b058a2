//! Python's `%` formatting, as far as checks use it: `%(key)s` and `%%`.

use std::borrow::Cow;

use super::target::Target;

/// The text after the colon of a check, with its places for values of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Key(String),
    /// Where Python gives up, unless it has missed a key before.
    Bad,
}

/// The text is no format that Python would accept with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only %(name)s and %% are understood after a percent sign")]
pub struct BadFormat;

impl Template {
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            let Some((key, after)) = after.strip_prefix('(').and_then(split_key) else {
                parts.push(Part::Bad);
                return Self(parts);
            };
            parts.push(Part::Key(key.to_owned()));
            let Some(after) = after.strip_prefix('s') else {
                parts.push(Part::Bad);
                return Self(parts);
            };
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Text(literal));
        }
        Self(parts)
    }

    /// Whether filling it in fails, if it comes to that.
    pub(super) fn is_bad(&self) -> bool {
        self.0.contains(&Part::Bad)
    }

    /// The text with the target's values filled in; `None` when the target lacks one.
    pub(super) fn fill<'a>(&'a self, target: &'a dyn Target) -> Result<Option<Cow<'a, str>>, BadFormat> {
        // Nearly all checks are one word or one key: no copy then.
        if let [part] = self.0.as_slice() {
            return part.value(target);
        }
        let mut text = String::new();
        for part in &self.0 {
            match part.value(target)? {
                Some(value) => text.push_str(&value),
                None => return Ok(None),
            }
        }
        Ok(Some(Cow::Owned(text)))
    }
}

impl Part {
    fn value<'a>(&'a self, target: &'a dyn Target) -> Result<Option<Cow<'a, str>>, BadFormat> {
        match self {
            Self::Text(text) => Ok(Some(Cow::Borrowed(text))),
            Self::Key(key) => Ok(target.get(key)),
            Self::Bad => Err(BadFormat),
        }
    }
}

/// Splits `key)…` at the parenthesis that closes the key; parentheses within the key are balanced, as in Python.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    for (at, character) in text.char_indices() {
        match character {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let (key, rest) = text.split_at(at);
            return Some((key, rest.strip_prefix(')')?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Pairs;

    #[test]
    fn values_are_filled_in() {
        let target = Pairs(&[("a", "1"), ("b.c", "2"), ("(d)", "3")]);
        for (text, expected) in [
            ("", Some("")),
            ("plain", Some("plain")),
            ("%(a)s", Some("1")),
            ("x%(a)s-%(b.c)s", Some("x1-2")),
            ("100%%", Some("100%")),
            ("%%(a)s", Some("%(a)s")),
            ("%((d))s", Some("3")),
            ("%(missing)s", None),
            ("%(a)s%(missing)s", None),
        ] {
            let template = Template::parse(text);
            assert_eq!(template.fill(&target).unwrap().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn other_formats_fail_once_they_are_reached() {
        for text in ["%", "%s", "%(a)d", "%(a)", "%(a", "%(a)10s", "x%(a)s%"] {
            assert!(Template::parse(text).is_bad());
            assert_eq!(Template::parse(text).fill(&Pairs(&[("a", "1")])), Err(BadFormat), "{text}");
        }
        for text in ["%(a)d", "%(a)", "x%(a)s%"] {
            assert_eq!(Template::parse(text).fill(&()), Ok(None), "{text}");
        }
    }
}
