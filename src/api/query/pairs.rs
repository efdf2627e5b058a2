//! The query string as webob reads and Python writes it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::QueryError;

/// What Python's `quote_plus` escapes; the space becomes a plus sign.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b' ');

/// Names and values in the order in which they were sent; a name can come several times (webob's `MultiDict`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Splits at `&` and `;`. A name without `=` has an empty value.
    pub(super) fn decode(query: &str) -> Result<Self, QueryError> {
        let parts = query.split(['&', ';']).filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<Result<_, QueryError>>()?))
    }

    /// Takes out the first value of a name.
    pub(super) fn pop(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes out every value of a name.
    pub(super) fn pop_all(&mut self, name: &str) -> Vec<String> {
        std::iter::from_fn(|| self.pop(name)).collect()
    }

    /// The last value of a name, which is the one that counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Each name once, where it came first, with the value that counts.
    pub(super) fn unique(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_first = |at: usize, name: &str| !self.0.iter().take(at).any(|(known, _)| known == name);
        let first = self.0.iter().enumerate().filter(move |(at, (name, _))| is_first(*at, name));
        first.map(|(_, (name, value))| (name.as_str(), self.get(name).unwrap_or(value)))
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &str) -> Result<String, QueryError> {
    let spaced = text.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(QueryError::new(
            "Error decoding your request. Either the URL or the request body contained characters that could not be decoded \
             by Glance",
        )),
    }
}

/// Names and values as a query string.
pub(super) fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string().replace(' ', "+");
    pairs.map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}
