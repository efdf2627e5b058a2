//! Shows requests and answers in the log of a development run (upstream: `glance/common/wsgi.py`, `Debug`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tracing::Span;

use crate::api::{Body, RequestBody, Response, json};
use crate::http::exchange::Exchange;

/// Characters of a document that are shown.
const SHOWN: usize = 4096;

/// Parts of the names of headers and parameters whose values are secrets.
const SECRET: [&str; 6] = ["token", "authorization", "cookie", "password", "secret", "signature"];

pub(in crate::http) fn show_request(exchange: &Exchange) {
    let Exchange { method, path, query, headers, .. } = exchange;
    let path = path.as_deref().unwrap_or("(not UTF-8)");
    let query = query.as_deref().map(|query| format!("?{}", parameters(query))).unwrap_or_default();
    tracing::info!("request {method} {path}{query}{}", listed(headers));
}

/// The body of a request, to be shown when the handler is done with it, as far as it was read.
pub(in crate::http) fn watch(headers: &HeaderMap, body: RequestBody) -> RequestBody {
    let is_data = json::media_type(headers).is_some_and(|kind| kind == "application/octet-stream");
    let most = if is_data { 0 } else { SHOWN };
    Box::pin(Watched { body, start: Vec::new(), most, bytes: 0, span: Span::current() })
}

struct Watched {
    body: RequestBody,
    /// The first bytes.
    start: Vec<u8>,
    most: usize,
    /// All that were read.
    bytes: usize,
    /// Of the request.
    span: Span,
}

impl http_body::Body for Watched {
    type Data = <RequestBody as http_body::Body>::Data;
    type Error = <RequestBody as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            let room = self.most.saturating_sub(self.start.len()).min(data.len());
            self.start.extend_from_slice(data.get(..room).unwrap_or_default());
            self.bytes = self.bytes.saturating_add(data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let _within = self.span.enter();
        // A character that was cut in two at the end is no reason to show nothing.
        let text = match std::str::from_utf8(&self.start) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() => {
                self.start.get(..error.valid_up_to()).and_then(|start| std::str::from_utf8(start).ok())
            }
            Err(_) => None,
        };
        match text.filter(|text| !text.is_empty()) {
            Some(text) => tracing::info!("body of the request\n  {}", masked(text)),
            None => tracing::info!("body of the request\n  ({} bytes)", self.bytes),
        }
    }
}

pub(in crate::http) fn show_response(response: &Response) {
    let body = match response.body() {
        Body::Empty => "(no body)".to_owned(),
        Body::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => masked(&text.chars().take(SHOWN).collect::<String>()),
            Err(_) => format!("({} bytes)", bytes.len()),
        },
        Body::Data { length: Some(length), .. } => format!("({length} bytes of image data)"),
        Body::Data { length: None, .. } => "(image data)".to_owned(),
    };
    tracing::info!("answer {}{}\n  {body}", response.status(), listed(response.headers()));
}

/// Each header on a line of its own.
fn listed(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let value =
            if is_secret(name.as_str()) { "****".into() } else { masked(&String::from_utf8_lossy(value.as_bytes())) };
        text.push_str(&format!("\n  {name}: {value}"));
    }
    text
}

/// A query without the values of parameters that are secrets.
fn parameters(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=****"),
        _ => masked(pair),
    });
    shown.collect::<Vec<_>>().join("&")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// Without the user and password of URLs.
fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>\\".contains(c)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str("****@");
                shown.push_str(host);
            }
            // Where a text was cut, a password may have lost its `@`.
            None if tail.is_empty() => shown.push_str("****"),
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let headers = HeaderMap::from_iter(
            [
                ("x-auth-token", "t0p"),
                ("x-service-token", "t0p"),
                ("authorization", "t0p"),
                ("accept", "*/*"),
                ("cookie", "t0p"),
            ]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())),
        );
        let text = listed(&headers);
        assert!(!text.contains("t0p") && text.contains("accept: */*"), "{text}");
    }

    #[test]
    fn secrets_in_a_query_are_masked() {
        let shown = parameters("limit=2&X-Auth-Token=t0p&signature&temp_url_Signature=t0p=&u=http://a:t0p@h/");
        assert_eq!(shown, "limit=2&X-Auth-Token=****&signature&temp_url_Signature=****&u=http://****@h/");
    }

    #[test]
    fn urls_lose_their_credentials() {
        for (text, expected) in [
            ("{\"url\": \"swift+https://user:t0p@host/c/o\"}", "{\"url\": \"swift+https://****@host/c/o\"}"),
            ("http://h/a@b and https://u@h:1", "http://h/a@b and https://****@h:1"),
            ("no url @ all", "no url @ all"),
            ("{\"url\": \"http://user:t0p", "{\"url\": \"http://****"),
            ("x://a:b@c@d/e", "x://****@d/e"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
