//! An answer that is an error, in the words of upstream, before it is rendered for the Accept header of the client.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::header::joined;
use crate::schema::python::excerpts;

/// What webob shows of an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The stock sentence of the status alone.
    Stock,
    /// Raised with `explanation=`: replaces the stock sentence.
    Explanation(String),
    /// Raised with a positional `detail`: the stock sentence, then this.
    Detail(String),
    /// Raised with `explanation=` and `body_template='${explanation}'`: the sentence of a status that quotes the request as
    /// well is replaced.
    Whole(String),
}

/// An HTTP error as webob's exceptions are (upstream: `webob/exc.py`).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status}: {text:?}")]
pub struct Error {
    pub status: StatusCode,
    pub text: Text,
    /// What the stock sentences of 405, 415 and 501 speak of: the method or the media type. Without it the renderer takes
    /// it from the request.
    pub subject: Option<String>,
    /// A remark after the text; in HTML a comment.
    pub comment: Option<String>,
    /// More headers, such as `Allow` or `Accept-Patch`. In a box, because every `Result` of a handler carries an error's size.
    pub headers: Box<HeaderMap>,
    /// The cause, for the log only; never shown to the client.
    #[source]
    pub cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// With the stock sentence.
    pub fn stock(status: StatusCode) -> Self {
        Self { status, text: Text::Stock, subject: None, comment: None, headers: Box::default(), cause: None }
    }

    /// With the stock sentence replaced.
    pub fn explanation(status: StatusCode, text: impl Into<String>) -> Self {
        Self { text: Text::Explanation(text.into()), ..Self::stock(status) }
    }

    /// With words after the stock sentence.
    pub fn detail(status: StatusCode, text: impl Into<String>) -> Self {
        Self { text: Text::Detail(text.into()), ..Self::stock(status) }
    }

    /// 400 with the stock sentence replaced.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::explanation(StatusCode::BAD_REQUEST, text)
    }

    /// 404 for a path that is no route.
    pub fn not_found_path() -> Self {
        Self::stock(StatusCode::NOT_FOUND)
    }

    /// 405 for a known path. `allow`: the methods that it has, as the header lists them.
    pub fn method_not_allowed(method: &Method, allow: &'static str) -> Self {
        let mut error = Self { subject: Some(method.to_string()), ..Self::stock(StatusCode::METHOD_NOT_ALLOWED) };
        error.headers.insert(ALLOW, HeaderValue::from_static(allow));
        error
    }

    /// 501 for an unknown path with a method that the API does not have at all.
    pub fn not_implemented_method(method: &Method) -> Self {
        Self { subject: Some(method.to_string()), ..Self::stock(StatusCode::NOT_IMPLEMENTED) }
    }

    /// 415. `headers`: those of the request, for the media type that the text names.
    pub fn unsupported_media_type(headers: &HeaderMap, detail: impl Into<String>) -> Self {
        let subject = joined(headers, CONTENT_TYPE).map(|given| excerpts([given]));
        Self { subject, ..Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// 413 for a request that upstream would read whole.
    ///
    /// `limit`: bytes.
    pub fn too_large(limit: u64) -> Self {
        let text = format!("Request is too large. Larger than {limit}.");
        Self::explanation(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    /// 500, of which the client learns nothing more.
    pub fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::stock(StatusCode::INTERNAL_SERVER_ERROR).because(cause)
    }

    /// The same answer, with its cause for the log.
    #[must_use]
    pub fn because(self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Arc::new(cause)), ..self }
    }
}
