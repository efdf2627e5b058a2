//! The one place from which what the service says could be translated. There is English alone.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use crate::api::Error;

/// A language in which there are texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Language {
    English,
}

/// All languages, the one for everybody else first.
const KNOWN: [(&str, Language); 1] = [("en", Language::English)];

/// The language that the client would like best of those there are (RFC 4647, section 3.4).
pub(in crate::http) fn preferred(headers: &HeaderMap) -> Language {
    let wishes = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    let mut best = (0.0, Language::English);
    for wish in wishes.flat_map(|value| value.split(',')) {
        let mut parts = wish.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        let primary = range.split('-').next().unwrap_or_default();
        let known = KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(primary));
        if let (Some((_, language)), Ok(quality)) = (known, quality)
            && quality > best.0
        {
            best = (quality, *language);
        }
    }
    best.1
}

/// The error in that language.
pub(in crate::http) fn translate(error: &Error, language: Language) -> Cow<'_, Error> {
    match language {
        Language::English => Cow::Borrowed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_ends_in_a_language_that_exists() {
        for wish in ["", "en", "de, en;q=0.5", "fr-CH, *;q=0.1", "en-GB;q=x", ";;,q=,"] {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, wish.parse().unwrap())]);
            assert_eq!(preferred(&headers), Language::English);
        }
        let error = Error::bad_request("no");
        assert_eq!(translate(&error, Language::English).text, error.text);
    }
}
