//! The query string as webob reads and Python writes it.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::error::QueryError;

/// What Python's `quote_plus` escapes; the space becomes a plus sign.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b' ');

/// Names and values in the order in which they were sent; a name can come several times (webob's `MultiDict`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::api) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Splits at `&` and `;`. A name without `=` has an empty value.
    pub(in crate::api) fn decode(query: &str) -> Result<Self, QueryError> {
        let parts = query.split(['&', ';']).filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<Result<_, QueryError>>()?))
    }

    /// Takes out the first value of a name.
    pub(in crate::api) fn pop(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes out every value of a name.
    pub(super) fn pop_all(&mut self, name: &str) -> Vec<String> {
        let taken = self.0.extract_if(.., |(known, _)| known == name);
        taken.map(|(_, value)| value).collect()
    }

    /// The last value of a name, which is the one that counts.
    pub(in crate::api) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Each name once, where it came first, with the value that counts.
    pub(super) fn unique(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut last: HashMap<&str, &str> = self.iter().collect();
        self.iter().filter_map(move |(name, _)| Some((name, last.remove(name)?)))
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn names_count_once_and_values_in_order() {
        let mut pairs = Pairs::decode("a=1&b=2&a=3&tag=x&c=&tag=y&b=4").unwrap();
        assert_eq!(pairs.pop_all("tag"), ["x", "y"]);
        assert_eq!(pairs.pop_all("tag"), [""; 0]);
        assert_eq!(pairs.unique().collect::<Vec<_>>(), [("a", "3"), ("b", "4"), ("c", "")]);
        assert_eq!(
            (pairs.pop("a").as_deref(), pairs.pop("a").as_deref(), pairs.pop("a")),
            (Some("1"), Some("3"), None)
        );
        assert_eq!(encode(pairs.iter()), "b=2&c=&b=4");
    }

    /// Comparing each with all others would take minutes.
    #[test]
    fn many_parameters_take_no_longer_for_being_many() {
        let text: Vec<String> = (0..200_000).map(|number| format!("p{number}=v&tag=t{number}")).collect();
        let mut pairs = Pairs::decode(&text.join("&")).unwrap();
        let start = Instant::now();
        assert_eq!(pairs.pop_all("tag").len(), 200_000);
        assert_eq!(pairs.unique().count(), 200_000);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}
