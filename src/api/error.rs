//! An answer that is an error, in the words of upstream, before it is rendered for the Accept header of the client.

use http::{HeaderMap, StatusCode};

/// What webob shows of an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The stock sentence of the status alone.
    Stock,
    /// Raised with `explanation=`: replaces the stock sentence.
    Explanation(String),
    /// Raised with a positional `detail`: the stock sentence, then this.
    Detail(String),
}

/// An HTTP error as webob's exceptions are (upstream: `webob/exc.py`).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status}: {text:?}")]
pub struct Error {
    pub status: StatusCode,
    pub text: Text,
    /// More headers, such as `Allow` or `Accept-Patch`.
    pub headers: HeaderMap,
    /// The cause, for the journal only; never shown to the client.
    #[source]
    pub cause: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// With the stock sentence.
    pub fn stock(status: StatusCode) -> Self {
        Self { status, text: Text::Stock, headers: HeaderMap::new(), cause: None }
    }

    /// With the stock sentence replaced.
    pub fn explanation(status: StatusCode, text: impl Into<String>) -> Self {
        Self { text: Text::Explanation(text.into()), ..Self::stock(status) }
    }

    /// With words after the stock sentence.
    pub fn detail(status: StatusCode, text: impl Into<String>) -> Self {
        Self { text: Text::Detail(text.into()), ..Self::stock(status) }
    }
}
