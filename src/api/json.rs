//! JSON in and out as upstream reads and writes it (upstream: `glance/common/wsgi.py`, `JSONRequestDeserializer`).

use std::io;

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

use super::header::joined;
use super::{Error, RequestBody};
pub use crate::schema::python::json::{to_bytes, to_unicode};

/// The list or object in the body of a request, or `None` where there is no body. `limit`: bytes.
///
/// # Errors
/// 400 for what is not JSON or neither a list nor an object, 413 above the limit, 408 when the client is too slow.
pub async fn read_json(headers: &HeaderMap, body: RequestBody, limit: u64) -> Result<Option<Value>, Error> {
    // HTTP/2 has neither header for a body of unknown length: then what arrives decides.
    let announced = has_transfer_encoding(headers) || content_length(headers) > Some(0);
    if content_length(headers) > Some(limit) {
        return Err(Error::too_large(limit));
    }
    let text = collect(body, limit).await?;
    if text.is_empty() && !announced {
        return Ok(None);
    }
    match serde_json::from_slice(&text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(Some(value)),
        Ok(_) => Err(Error::bad_request("Unexpected body type. Expected list/dict.")),
        Err(_) => Err(Error::bad_request("Malformed JSON in request body.")),
    }
}

/// Refuses a request with a body where there must be none.
///
/// # Errors
/// 400
pub fn reject_body(method: &Method, headers: &HeaderMap, body: &RequestBody) -> Result<(), Error> {
    // HTTP/2 has neither header for a body of unknown length.
    let has_silent_body = may_have_body(method) && !body.is_end_stream();
    if has_body(method, headers) || has_silent_body {
        return Err(Error::bad_request("A body is not expected with this request."));
    }
    Ok(())
}

/// Whether upstream takes the request for one with a body.
pub fn has_body(method: &Method, headers: &HeaderMap) -> bool {
    content_length(headers) > Some(0) || (may_have_body(method) && has_transfer_encoding(headers))
}

fn may_have_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// The media type of the body, which must be one of `allowed`; parameters do not count.
///
/// # Errors
/// 415
pub fn content_type<'a>(headers: &HeaderMap, allowed: &[&'a str]) -> Result<&'a str, Error> {
    let given = media_type(headers);
    match allowed.iter().find(|name| Some(**name) == given.as_deref()) {
        Some(name) => Ok(name),
        None => {
            let detail = format!("Invalid content type {}", given.as_deref().unwrap_or("None"));
            Err(Error::unsupported_media_type(headers, detail))
        }
    }
}

/// Content-Type up to its parameters; a blank before these belongs to it, as for webob.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
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

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

async fn collect(mut body: RequestBody, limit: u64) -> Result<BytesMut, Error> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(interrupted)?.into_data() else { continue };
        text.extend_from_slice(&data);
        if text.len() as u64 > limit {
            return Err(Error::too_large(limit));
        }
    }
    Ok(text)
}

fn interrupted(error: io::Error) -> Error {
    let status = match error.kind() {
        io::ErrorKind::TimedOut => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    };
    Error::stock(status).because(error)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Full, StreamBody};

    use super::*;
    use crate::api::Text;

    fn body(bytes: &'static [u8]) -> RequestBody {
        Box::pin(Full::new(Bytes::from_static(bytes)).map_err(|never| match never {}))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
            .collect::<Vec<(http::HeaderName, _)>>()
            .into_iter()
            .collect()
    }

    fn explanation(error: &Error) -> &str {
        match &error.text {
            Text::Explanation(text) | Text::Detail(text) => text,
            Text::Stock => "",
        }
    }

    /// Texts and rules as a running upstream showed them for `POST /v2/images`.
    #[tokio::test]
    async fn bodies_are_read_as_upstream_reads_them() {
        let malformed = Err("Malformed JSON in request body.");
        let wrong_type = Err("Unexpected body type. Expected list/dict.");
        let some = |text: &str| Ok(Some(serde_json::from_str::<Value>(text).unwrap()));
        for (pairs, bytes, expected) in [
            (&[("content-length", "0")][..], &b""[..], Ok(None)),
            (&[], b"", Ok(None)),
            (&[("content-length", "2")], b"{}", some("{}")),
            (&[("content-length", "2")], b"[]", some("[]")),
            (&[("content-length", "9")], b" {\"a\":1}\n", some("{\"a\": 1}")),
            (&[("content-length", "13")], b"{\"a\":1,\"a\":2}", some("{\"a\": 2}")),
            (&[("content-length", "1")], b"1", wrong_type.clone()),
            (&[("content-length", "3")], b"\"x\"", wrong_type.clone()),
            (&[("content-length", "4")], b"null", wrong_type),
            (&[("content-length", "1")], b"x", malformed.clone()),
            (&[("content-length", "8")], b"{\"\xff\": 1}", malformed.clone()),
            (&[("content-length", "5")], b"\xef\xbb\xbf{}", malformed.clone()),
            (&[("transfer-encoding", "chunked")], b"", malformed.clone()),
            (&[("transfer-encoding", "Chunked")], b"{}", some("{}")),
            (&[("transfer-encoding", "gzip")], b"", malformed),
            (&[("transfer-encoding", "br")], b"", Ok(None)),
            (&[], b"{}", some("{}")),
        ] {
            let read = read_json(&headers(pairs), body(bytes), 100).await;
            let read = read.map_err(|error| explanation(&error).to_owned());
            assert_eq!(read, expected.map_err(str::to_owned), "{pairs:?} {bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_not_kept() {
        for (pairs, bytes) in [(&[][..], &b"[1,2,3]"[..]), (&[("content-length", "7")], b"")] {
            let error = read_json(&headers(pairs), body(bytes), 6).await.unwrap_err();
            assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(explanation(&error), "Request is too large. Larger than 6.");
        }
        assert!(read_json(&headers(&[]), body(b"[1,2,3]"), 7).await.is_ok());
    }

    #[tokio::test]
    async fn an_interrupted_body_keeps_its_cause() {
        for (kind, status) in [
            (io::ErrorKind::TimedOut, StatusCode::REQUEST_TIMEOUT),
            (io::ErrorKind::UnexpectedEof, StatusCode::BAD_REQUEST),
        ] {
            let stream = futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>(io::Error::from(kind))]);
            let error = read_json(&headers(&[]), Box::pin(StreamBody::new(stream)), 10).await.unwrap_err();
            assert_eq!(error.status, status);
            assert!(error.cause.is_some());
        }
    }

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
            let answer = reject_body(&method, &headers(pairs), &body(b""));
            assert_eq!(answer.is_err(), refused, "{method} {pairs:?}");
        }
        // In HTTP/2 nothing else may tell.
        for (method, refused) in [(Method::POST, true), (Method::GET, false)] {
            assert_eq!(reject_body(&method, &headers(&[]), &body(b"x")).is_err(), refused, "{method}");
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
