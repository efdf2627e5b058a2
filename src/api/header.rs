//! Headers as WSGI shows them to upstream.

use http::HeaderMap;
use http::header::HeaderName;

/// The store to write to, in a multi-store cloud.
pub(in crate::api) const IMAGE_STORE: HeaderName = HeaderName::from_static("x-image-meta-store");

/// The value of a header; one that comes again is joined by a comma and a blank, so that two values are none that is known.
pub(in crate::api) fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?.into_owned();
    Some(values.fold(first, |joined, value| joined + ", " + &value))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::RANGE;

    use super::*;

    #[test]
    fn values_are_joined() {
        let mut headers = HeaderMap::new();
        assert_eq!(joined(&headers, RANGE), None);
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(joined(&headers, RANGE).as_deref(), Some("bytes=0-1"));
        headers.append(RANGE, HeaderValue::from_static("bytes=3-4"));
        assert_eq!(joined(&headers, RANGE).as_deref(), Some("bytes=0-1, bytes=3-4"));
    }
}
