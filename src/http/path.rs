//! Paths as a WSGI server and paste's URL map hand them on: decoded, with repeated slashes made one.

use std::borrow::Cow;
use std::str::Utf8Error;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What is encoded when a decoded path goes back into a URI; `PATH_SAFE` of webob stays as it is.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The path of a request line, decoded, beginning with one slash.
///
/// # Errors
/// The bytes behind the percent signs are not UTF-8.
pub(in crate::http) fn decode(path: &str) -> Result<String, Utf8Error> {
    let decoded = percent_decode_str(path).decode_utf8()?;
    let mut collapsed = String::with_capacity(decoded.len() + 1);
    if !decoded.starts_with('/') {
        collapsed.push('/');
    }
    for c in decoded.chars() {
        if c != '/' || !collapsed.ends_with('/') {
            collapsed.push(c);
        }
    }
    Ok(collapsed)
}

/// A decoded path for use in a URI.
pub(in crate::http) fn encode(path: &str) -> Cow<'_, str> {
    Cow::from(utf8_percent_encode(path, PATH))
}

/// The first segment of a path, and what follows it from its slash on.
pub(in crate::http) fn split_first(path: &str) -> (&str, &str) {
    let path = path.trim_start_matches('/');
    path.split_at(path.find('/').unwrap_or(path.len()))
}

/// Whether `path` is `prefix` or lies below it; a `prefix` of `""` holds everything.
pub(in crate::http) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the running upstream took them.
    #[test]
    fn paths_are_decoded_and_collapsed() {
        for (raw, decoded) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("//v2//images///x/", "/v2/images/x/"),
            ("/v2/images/a%2Fb", "/v2/images/a/b"),
            ("/v2/images%2F%2Fx", "/v2/images/x"),
            ("/%76%32/a%20b", "/v2/a b"),
            ("/v2/%C3%A9%", "/v2/é%"),
            ("/v2/a+b", "/v2/a+b"),
        ] {
            assert_eq!(decode(raw).unwrap(), decoded);
        }
        assert!(decode("/v2/images/%ff").is_err());
    }

    #[test]
    fn prefixes_end_at_a_slash() {
        for (path, prefix, below) in [
            ("/v2", "/v2", true),
            ("/v2/x", "/v2", true),
            ("/v2x", "/v2", false),
            ("/x", "", true),
            ("/healthcheck/x", "/healthcheck", true),
            ("/healthcheckx", "/healthcheck", false),
        ] {
            assert_eq!(is_below(path, prefix), below, "{path}");
        }
        assert_eq!(split_first("/v2/images/x"), ("v2", "/images/x"));
        assert_eq!(split_first("/"), ("", ""));
    }

    proptest::proptest! {
        #[test]
        fn encoding_is_undone_by_decoding(path in "(/[^/]{1,8}){1,4}") {
            let encoded = encode(&path);
            proptest::prop_assert!(http::Uri::try_from(encoded.as_ref()).is_ok(), "{encoded}");
            proptest::prop_assert_eq!(decode(&encoded).unwrap(), path);
        }
    }
}
