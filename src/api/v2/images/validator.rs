//! The validator of an image's data, and what requests make depend on it (RFC 9110, 8.8.3, 13.1.2 and 13.1.5). Upstream sends none;
//! who does not know of it sees a header more.

use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH, IF_RANGE};

use crate::api::header::joined;
use crate::image::{Image, Status};

/// `ETag` of an image's data: its hash, in quotes. The data of an image never changes, so it is a strong one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validator(String);

impl Validator {
    /// `None` where the image has no data, or no hash is known of it.
    pub(super) fn of(image: &Image) -> Option<Self> {
        let is_hex = |hash: &&str| !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = [&image.os_hash_value, &image.checksum].into_iter().filter_map(|hash| hash.as_deref()).find(is_hex);
        hash.filter(|_| matches!(image.status, Status::Active | Status::Deactivated))
            .map(|hash| Self(format!("\"{hash}\"")))
    }

    pub(super) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(&self.0).ok()
    }

    /// Whether the client has the data already (`If-None-Match`).
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        let Some(known) = joined(headers, IF_NONE_MATCH) else { return false };
        // Hashes have no commas, so that those within quotes need no thought.
        known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0)
    }

    /// Whether `Range` counts: `If-Range` names this data, or is not there.
    pub(super) fn allows_range(validator: Option<&Self>, headers: &HeaderMap) -> bool {
        let wanted = joined(headers, IF_RANGE);
        wanted.is_none_or(|wanted| validator.is_some_and(|validator| validator.0 == wanted.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn known_data_is_told_by_its_hash() {
        let validator = Validator("\"ab12\"".to_owned());
        for (value, expected) in [
            ("\"ab12\"", true),
            ("W/\"ab12\"", true),
            ("\"x\", \"ab12\"", true),
            ("*", true),
            ("ab12", false),
            ("\"ab\"", false),
            ("", false),
        ] {
            assert_eq!(validator.is_known(&headers(IF_NONE_MATCH, value)), expected, "{value}");
        }
        assert!(!validator.is_known(&HeaderMap::new()));
        assert_eq!(validator.value().unwrap(), "\"ab12\"");
    }

    #[test]
    fn a_part_is_one_of_the_data_that_the_client_knows() {
        let validator = Validator("\"ab12\"".to_owned());
        let allows = |value| Validator::allows_range(Some(&validator), &headers(IF_RANGE, value));
        assert!(allows("\"ab12\""));
        // Only strong ones count, and there is no time to compare with.
        assert!(!allows("W/\"ab12\"") && !allows("\"ab\"") && !allows("Sat, 29 Oct 1994 19:43:31 GMT"));
        assert!(Validator::allows_range(None, &HeaderMap::new()));
        assert!(!Validator::allows_range(None, &headers(IF_RANGE, "\"ab12\"")));
    }
}
