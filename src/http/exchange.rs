//! One request on its way through the filters.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use super::document::{self, Asked};
use super::{Connection, language, path};
use crate::api::{self, Body, Error, Response};
use crate::identity::Context;
use crate::sys::causes::ErrorWithCauses;

/// A request as the filters see and change it, and what they leave for the way back.
pub(in crate::http) struct Exchange {
    pub method: Method,
    pub headers: HeaderMap,
    /// `http` or `https`, as the client sees it.
    pub scheme: String,
    /// Host and port as the client sees them.
    pub host: String,
    /// A proxy's prefix before our paths; empty without one.
    pub prefix: String,
    /// Decoded, beginning with a slash; `None` where the bytes are not UTF-8.
    pub path: Option<String>,
    pub query: Option<String>,
    /// The client's address, for the log.
    pub remote: String,
    /// Where the connection really comes from and ends.
    pub peer: Option<SocketAddr>,
    pub port: u16,
    /// `req-…`: the caller's own, or made here.
    pub request_id: Arc<str>,
    /// What the token says; `None` until it was looked at, or where it does not hold.
    pub confirmed: Option<Context>,
    /// Whether somebody looked for a token.
    pub is_authenticated: bool,
    /// The audit's record of the request.
    pub audit: Option<Map<String, Value>>,
    /// Who is asking. The way back shows `request_id` when there is one.
    pub context: Option<Arc<Context>>,
    /// What it has passed that the routes ask about.
    pub filters: api::Filters,
}

impl Exchange {
    pub(in crate::http) fn new(parts: Parts, connection: &Connection, request_id: String) -> Self {
        let Parts { method, uri, headers, .. } = parts;
        let scheme = if connection.tls { "https" } else { "http" };
        let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(HOST)?.to_str().ok());
        let host = host.map_or_else(|| own_name(connection), str::to_owned);
        let peer = connection.peer;
        Self {
            path: path::decode(uri.path()).ok(),
            query: uri.query().map(str::to_owned),
            method,
            headers,
            scheme: scheme.to_owned(),
            host,
            prefix: String::new(),
            remote: peer.map_or_else(|| "unix".to_owned(), |peer| peer.ip().to_canonical().to_string()),
            peer,
            port: connection.local.map_or(0, |local| local.port()),
            request_id: request_id.into(),
            confirmed: None,
            is_authenticated: false,
            audit: None,
            context: None,
            filters: api::Filters::default(),
        }
    }

    /// A header in text; `None` also where it is not ASCII.
    pub(in crate::http) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Scheme and host without the port that the scheme implies (upstream: webob's `host_url`).
    pub(in crate::http) fn host_url(&self) -> String {
        let implied = match self.scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => "",
        };
        let host = self.host.strip_suffix(implied).unwrap_or(&self.host);
        format!("{}://{host}", self.scheme)
    }

    /// [`Exchange::host_url`] with the proxy's prefix (upstream: webob's `application_url`).
    pub(in crate::http) fn application_url(&self) -> String {
        self.host_url() + &path::encode(&self.prefix)
    }

    /// The error document for this request. A cause goes to the log, with the request id of the span around it.
    pub(in crate::http) fn refuse(&self, error: &Error) -> Response {
        let status = error.status.as_u16();
        match &error.cause {
            Some(cause) if error.status.is_server_error() => {
                tracing::error!(status, cause = %ErrorWithCauses(&**cause), "caught error");
            }
            Some(cause) => tracing::debug!(status, cause = %ErrorWithCauses(&**cause), "refused: {error}"),
            None => tracing::debug!(status, "refused: {error}"),
        }
        let language = language::preferred(&self.headers);
        let error = language::translate(error, language);
        document::render(&error, &Asked { method: &self.method, headers: &self.headers })
    }

    /// What the routes get. `path`: decoded, below `/v2`.
    pub(in crate::http) fn to_request(
        &self,
        path: &str,
        body: api::RequestBody,
        context: Arc<Context>,
    ) -> api::Request {
        api::Request {
            method: self.method.clone(),
            path: path.to_owned(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body,
            context,
            host_url: self.host_url(),
            filters: self.filters,
        }
    }

    /// The last touch: an absolute `Location`, `Content-Length` where it is known, no body for HEAD.
    pub(in crate::http) fn complete(&self, mut response: Response) -> Response {
        if let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok())
            && location.starts_with('/')
            && let Ok(absolute) = HeaderValue::try_from(self.host_url() + location)
        {
            response.headers_mut().insert(LOCATION, absolute);
        }
        let length = match response.body() {
            Body::Empty => None,
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Data { length, .. } => *length,
        };
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        } else if matches!(response.body(), Body::Empty) && !response.headers().contains_key(CONTENT_LENGTH) {
            // webob gives a length to what has a type, even to a 204.
            let is_bare = match response.status() {
                StatusCode::NO_CONTENT => !response.headers().contains_key(CONTENT_TYPE),
                status => status == StatusCode::NOT_MODIFIED,
            };
            if !is_bare {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
            }
        }
        if self.method == Method::HEAD {
            *response.body_mut() = Body::Empty;
        }
        response
    }
}

/// For a client of HTTP/1.0 that does not say whom it asks.
fn own_name(connection: &Connection) -> String {
    connection.local.map_or_else(|| "localhost".to_owned(), |local| local.to_string())
}

#[cfg(test)]
pub(in crate::http) mod tests {
    use super::*;

    /// A request as it comes from the wire, without a connection of interest.
    pub(in crate::http) fn exchange(method: &str, target: &str, headers: &[(&str, &str)]) -> Exchange {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let connection = Connection {
            peer: Some("10.0.0.1:4000".parse().unwrap()),
            local: Some("127.0.0.1:80".parse().unwrap()),
            tls: false,
        };
        Exchange::new(request.body(()).unwrap().into_parts().0, &connection, "req-1".to_owned())
    }

    #[test]
    fn the_host_is_that_of_the_request() {
        for (target, headers, expected) in [
            ("/", &[("host", "h:9292")][..], "http://h:9292"),
            ("/", &[("host", "h:80")], "http://h"),
            ("http://other:1/x", &[("host", "h")], "http://other:1"),
            ("/", &[], "http://127.0.0.1"),
        ] {
            assert_eq!(exchange("GET", target, headers).host_url(), expected);
        }
    }

    #[test]
    fn answers_are_completed() {
        let bytes = || Body::Bytes("abc".into());
        for (method, body, status, has_type, length) in [
            ("GET", bytes(), 200, true, Some("3")),
            ("HEAD", bytes(), 200, true, Some("3")),
            ("GET", Body::Empty, 200, false, Some("0")),
            ("GET", Body::Empty, 204, true, Some("0")),
            ("GET", Body::Empty, 204, false, None),
            ("GET", Body::Empty, 304, false, None),
        ] {
            let mut response = Response::new(body);
            if has_type {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
            }
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("/v2/x"));
            let response = exchange(method, "/", &[("host", "h:1")]).complete(response);
            assert_eq!(response.headers()[LOCATION], "http://h:1/v2/x");
            assert_eq!(response.headers().get(CONTENT_LENGTH).map(|v| v.to_str().unwrap()), length);
            assert!(method != "HEAD" || matches!(response.body(), Body::Empty));
        }
    }

    #[test]
    fn a_path_is_decoded_once() {
        let exchange = exchange("GET", "/v2/images/a%3Fb%2525?x=%20", &[]);
        let path = exchange.path.clone().unwrap();
        let body = Box::pin(http_body_util::BodyExt::map_err(http_body_util::Empty::new(), |never| match never {}));
        let request = exchange.to_request(&path, body, Arc::default());
        assert_eq!((request.path.as_str(), request.query.as_deref()), ("/v2/images/a?b%25", Some("x=%20")));
    }
}
