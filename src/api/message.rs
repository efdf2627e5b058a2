//! A request and an answer as the handlers see them; the connection's own types stay above.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::identity::Context;
use crate::store::Reader;

/// The body of a request: bytes as they come from the client, with the connection's limits on time already applied.
pub type RequestBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = std::io::Error> + Send>>;

/// A request after authentication, for one of the routes below `/v2`.
pub struct Request {
    pub method: Method,
    /// Decoded, with the version negotiated away: it starts with `/v2/`.
    pub path: String,
    /// As the client sent it, without the question mark.
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: RequestBody,
    pub context: Arc<Context>,
    /// Scheme and authority as the client sees them (`http://host:9292`), without a trailing slash; from the Host header and,
    /// where enabled, the proxy headers.
    pub host_url: String,
    pub filters: Filters,
}

/// The filters in the request's pipeline that routes ask about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// `cache`: image data goes through the image cache.
    pub cache: bool,
    /// `cachemanage`: there are the old routes that manage the image cache.
    pub cache_manage: bool,
}

/// What goes back.
pub enum Body {
    Empty,
    Bytes(Bytes),
    /// Image data of this many bytes.
    Data {
        reader: Reader,
        length: Option<u64>,
    },
}

/// An answer before it is written.
pub type Response = http::Response<Body>;
