//! What a request says of its body, and JSON as upstream writes it (upstream: `glance/common/wsgi.py`,
//! `JSONRequestDeserializer`).

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method};

use super::domain_errors::Refusal;
use super::header::joined;
use super::{Error, RequestBody};
pub(crate) use crate::schema::python::json::{to_bytes, to_unicode};
use crate::schema::python::{Excerpt, or_none};

/// Whether a body is announced, be it an empty one.
pub(super) fn announces_body(headers: &HeaderMap) -> bool {
    has_transfer_encoding(headers) || content_length(headers) > Some(0)
}

/// Refuses a request with a body where there must be none.
///
/// # Errors
/// 400
pub(crate) fn reject_body(method: &Method, headers: &HeaderMap, body: &RequestBody) -> Result<(), Error> {
    // HTTP/2 has neither header for a body of unknown length.
    let has_silent_body = may_have_body(method) && !body.is_end_stream();
    if has_body(method, headers) || has_silent_body {
        return Err(Refusal::UnexpectedBody.into());
    }
    Ok(())
}

/// Whether upstream takes the request for one with a body.
pub(crate) fn has_body(method: &Method, headers: &HeaderMap) -> bool {
    content_length(headers) > Some(0) || (may_have_body(method) && has_transfer_encoding(headers))
}

fn may_have_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// The media type of the body, which must be one of `allowed`; parameters do not count.
///
/// # Errors
/// 415
pub(crate) fn content_type<'a>(headers: &HeaderMap, allowed: &[&'a str]) -> Result<&'a str, Error> {
    let given = media_type(headers);
    match allowed.iter().find(|name| Some(**name) == given.as_deref()) {
        Some(name) => Ok(name),
        None => {
            let detail = format!("Invalid content type {}", Excerpt(or_none(given.as_deref())));
            Err(Error::unsupported_media_type(headers, detail))
        }
    }
}

/// Content-Type up to its parameters; a blank before these belongs to it, as for webob.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut given = joined(headers, CONTENT_TYPE)?;
    given.truncate(given.find(';').unwrap_or(given.len()));
    Some(given)
}

/// Whether the transfer coding is one of those that upstream takes as a sign of a body.
fn has_transfer_encoding(headers: &HeaderMap) -> bool {
    const KNOWN: [&str; 5] = ["chunked", "compress", "deflate", "gzip", "identity"];
    let given = headers.get(TRANSFER_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    KNOWN.iter().any(|name| name.eq_ignore_ascii_case(given))
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Text;
    use crate::api::fake::{body, headers};

    /// As a running upstream answered `GET` and `POST` on routes that take no body.
    #[test]
    fn bodies_are_refused_by_length_or_coding() {
        for (method, pairs, refused) in [
            (Method::GET, &[][..], false),
            (Method::GET, &[("content-length", "0")], false),
            (Method::GET, &[("content-length", "7")], true),
            (Method::GET, &[("transfer-encoding", "chunked")], false),
            (Method::DELETE, &[("transfer-encoding", "chunked")], false),
            (Method::POST, &[("transfer-encoding", "chunked")], true),
            (Method::PUT, &[("transfer-encoding", "IDENTITY")], true),
            (Method::PUT, &[("transfer-encoding", "br")], false),
        ] {
            let answer = reject_body(&method, &headers(pairs), &body(""));
            assert_eq!(answer.is_err(), refused, "{method} {pairs:?}");
        }
        // In HTTP/2 nothing else may tell.
        for (method, refused) in [(Method::POST, true), (Method::GET, false)] {
            assert_eq!(reject_body(&method, &headers(&[]), &body("x")).is_err(), refused, "{method}");
        }
    }

    /// As a running upstream answered `PUT /v2/images/{id}/file`.
    #[test]
    fn media_types_are_compared_without_parameters() {
        let allowed = ["application/octet-stream"];
        for (given, detail) in [
            (Some("application/octet-stream"), None),
            (Some("application/octet-stream; charset=x"), None),
            (Some("application/octet-stream ; x"), Some("Invalid content type application/octet-stream ")),
            (Some("Application/octet-stream; x"), Some("Invalid content type Application/octet-stream")),
            (Some(""), Some("Invalid content type ")),
            (Some("a/b"), Some("Invalid content type a/b")),
            (None, Some("Invalid content type None")),
        ] {
            let headers = given.map(|value| headers(&[("content-type", value)])).unwrap_or_default();
            match (content_type(&headers, &allowed), detail) {
                (Ok(found), None) => assert_eq!(found, allowed[0]),
                (Err(error), Some(detail)) => {
                    assert_eq!(error.text, Text::Detail(detail.to_owned()));
                    assert_eq!(error.subject.as_deref(), given);
                }
                (answer, _) => panic!("{given:?}: {answer:?}"),
            }
        }
    }
}
