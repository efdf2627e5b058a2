//! Parts of requests, for tests.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body_util::{BodyExt, Full};

use super::RequestBody;

/// A body that comes in one piece.
pub(super) fn body(bytes: impl Into<Bytes>) -> RequestBody {
    Box::pin(Full::new(bytes.into()).map_err(|never| match never {}))
}

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let parsed = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    parsed.collect()
}
