//! The Accept header as webob reads it (upstream: `webob/acceptparse.py`; RFC 7231, section 5.3.2).
//!
//! A header that breaks the grammar anywhere accepts everything.

use http::HeaderMap;
use http::header::ACCEPT;

/// What the client would like to get.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) enum Accept<'a> {
    /// No header.
    Missing,
    /// Not after the grammar.
    Invalid,
    Ranges(Vec<Range<'a>>),
}

/// One media range of the header.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct Range<'a> {
    /// `type/subtype`
    essence: &'a str,
    has_parameters: bool,
    /// Thousandths.
    quality: u16,
    has_extensions: bool,
}

impl<'a> Accept<'a> {
    /// `text`: see [`header`].
    pub(in crate::http) fn parse(text: Option<&'a str>) -> Self {
        match text {
            None => Self::Missing,
            Some(text) => ranges(text).map_or(Self::Invalid, Self::Ranges),
        }
    }

    /// The offer that suits best; of equals the first.
    pub(in crate::http) fn best<'o>(&self, offers: &[&'o str]) -> Option<&'o str> {
        let Self::Ranges(ranges) = self else { return offers.first().copied() };
        let mut best = None;
        for offer in offers {
            let quality = quality_of(ranges, offer);
            if quality > best.map_or(0, |(quality, _)| quality) {
                best = Some((quality, *offer));
            }
        }
        best.map(|(_, offer)| offer)
    }

    /// What follows `prefix` in the first range: empty unless the range stands alone and unadorned.
    pub(in crate::http) fn vendor(&self, prefix: &str) -> Option<&'a str> {
        let Self::Ranges(ranges) = self else { return None };
        let first = ranges.first()?;
        let rest = first.essence.strip_prefix(prefix)?;
        let alone = ranges.len() == 1 && !first.has_parameters && first.quality == 1000 && !first.has_extensions;
        Some(if alone { rest } else { "" })
    }
}

/// All Accept headers of a request in one; bytes outside ASCII make it invalid.
pub(in crate::http) fn header(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(ACCEPT).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut text = values.next()?.into_owned();
    for value in values {
        text.push_str(", ");
        text.push_str(&value);
    }
    Some(text)
}

/// The quality of the most specific range that covers `offer`; of equals the first; 0 where none does.
fn quality_of(ranges: &[Range<'_>], offer: &str) -> u16 {
    let offer_type = offer.split('/').next().unwrap_or_default();
    let mut best = (0, 0);
    for range in ranges {
        let (kind, subtype) = range.essence.split_once('/').unwrap_or_default();
        let specificity = if range.essence.eq_ignore_ascii_case(offer) {
            // No offer of ours has parameters.
            if range.has_parameters { 0 } else { 3 }
        } else if subtype == "*" && kind.eq_ignore_ascii_case(offer_type) {
            2
        } else if range.essence == "*/*" {
            1
        } else {
            0
        };
        if specificity > best.0 {
            best = (specificity, range.quality);
        }
    }
    best.1
}

fn ranges(text: &str) -> Option<Vec<Range<'_>>> {
    let mut found = Vec::new();
    let mut scanner = Scanner { rest: text };
    if text.is_empty() {
        return Some(found);
    }
    // The first element may be missing, as before a comma, but then the second must be too: so is webob's expression.
    if !scanner.take(",") {
        found.push(scanner.range()?);
    }
    while !scanner.rest.is_empty() {
        scanner.skip_space();
        if !scanner.take(",") {
            return None;
        }
        let before_space = scanner.rest;
        scanner.skip_space();
        if scanner.rest.starts_with(',') || scanner.rest.is_empty() {
            // An empty element ends before its space, which then must lead to a comma.
            if scanner.rest.is_empty() && !before_space.is_empty() {
                return None;
            }
            continue;
        }
        found.push(scanner.range()?);
    }
    Some(found)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn range(&mut self) -> Option<Range<'a>> {
        let start = self.rest;
        self.token()?;
        self.take("/").then_some(())?;
        self.token()?;
        let essence = start.get(..start.len() - self.rest.len())?;
        let mut range = Range { essence, has_parameters: false, quality: 1000, has_extensions: false };
        let mut weighed = false;
        while let Some(rest) = self.after_semicolon() {
            self.rest = rest;
            let name = self.token()?;
            if !weighed && name.eq_ignore_ascii_case("q") && self.take("=") {
                range.quality = self.quality()?;
                weighed = true;
            } else if weighed {
                range.has_extensions = true;
                if self.take("=") {
                    self.value()?;
                }
            } else {
                range.has_parameters = true;
                self.take("=").then_some(())?;
                self.value()?;
            }
        }
        Some(range)
    }

    /// What follows a semicolon and the space around it.
    fn after_semicolon(&self) -> Option<&'a str> {
        Some(self.rest.trim_start_matches([' ', '\t']).strip_prefix(';')?.trim_start_matches([' ', '\t']))
    }

    fn quality(&mut self) -> Option<u16> {
        let (whole, digits) = if self.take("0") {
            (0, '0'..='9')
        } else if self.take("1") {
            (1000, '0'..='0')
        } else {
            return None;
        };
        let mut quality = whole;
        if self.take(".") {
            for place in [100, 10, 1] {
                let Some(digit) = self.rest.chars().next().filter(|c| digits.contains(c)) else { break };
                quality += place * u16::try_from(digit.to_digit(10)?).ok()?;
                self.rest = self.rest.get(1..)?;
            }
        }
        Some(quality)
    }

    fn value(&mut self) -> Option<()> {
        if !self.take("\"") {
            return self.token().map(|_| ());
        }
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == '"' {
                self.rest = self.rest.get(at + 1..)?;
                return Some(());
            }
        }
        None
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn take(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::http::upstream;

    #[test]
    fn headers_pick_what_they_pick_upstream() {
        for case in upstream::cases(include_str!("upstream/accepts.json")) {
            let text = case["accept"].as_str();
            let errors = Accept::parse(Some(text.unwrap_or_default())).best(&["text/html", "application/json"]);
            assert_eq!(errors, case["error"].as_str(), "{case}");
            let accept = Accept::parse(text);
            assert_eq!(
                accept.best(&["text/plain", "text/html", "application/json"]),
                case["health"].as_str(),
                "{case}"
            );
            let vendor = accept.vendor("application/vnd.openstack.images-");
            assert_eq!(Value::Bool(vendor.is_some()), case["vendor"], "{case}");
            if let Some(known) = case["known"].as_str() {
                assert_eq!(vendor, Some(known), "{case}");
            } else {
                assert!(!["v2", "v2.3"].contains(&vendor.unwrap_or_default()), "{case}");
            }
        }
    }

    #[test]
    fn several_headers_count_as_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(header(&headers), None);
        headers.append(ACCEPT, "text/html".parse().unwrap());
        headers.append(ACCEPT, "a/b;q=0.1".parse().unwrap());
        assert_eq!(header(&headers).as_deref(), Some("text/html, a/b;q=0.1"));
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_too_strange(text in "[ -~\u{e9}]{0,60}") {
            let accept = Accept::parse(Some(&text));
            let best = accept.best(&["text/html"]);
            proptest::prop_assert!(best.is_none() || best == Some("text/html"));
        }
    }
}
