//! Shows requests and answers in the log of a development run (upstream: `glance/common/wsgi.py`, `Debug`).

use http::HeaderMap;

use crate::api::{Body, Response};
use crate::http::exchange::Exchange;

/// Characters of a document that are shown.
const SHOWN: usize = 4096;

/// Parts of header names whose values are secrets.
const SECRET: [&str; 6] = ["token", "authorization", "cookie", "password", "secret", "signature"];

pub(in crate::http) fn show_request(exchange: &Exchange) {
    let Exchange { method, path, query, headers, .. } = exchange;
    let path = path.as_deref().unwrap_or("(not UTF-8)");
    let query = query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    tracing::info!("request {method} {path}{query}{}", listed(headers));
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
        let is_secret = SECRET.iter().any(|part| name.as_str().contains(part));
        let value = if is_secret { "****".into() } else { masked(&String::from_utf8_lossy(value.as_bytes())) };
        text.push_str(&format!("\n  {name}: {value}"));
    }
    text
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
    fn urls_lose_their_credentials() {
        for (text, expected) in [
            ("{\"url\": \"swift+https://user:t0p@host/c/o\"}", "{\"url\": \"swift+https://****@host/c/o\"}"),
            ("http://h/a@b and https://u@h:1", "http://h/a@b and https://****@h:1"),
            ("no url @ all", "no url @ all"),
            ("x://a:b@c@d/e", "x://****@d/e"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
