//! Why a client cannot be made, or a request got no answer.

use std::io;
use std::path::PathBuf;

use tokio::task::JoinError;

use super::url_filter::Refused;
use crate::sys::causes::chain;

/// A client cannot be made of its options.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read {}: {source}", path.display())]
    File { part: TlsPart, path: PathBuf, source: io::Error },
    #[error("{} holds no usable PEM: {source}", path.display())]
    Pem { part: TlsPart, path: PathBuf, source: reqwest::Error },
    #[error("{}: no certificate in it", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{scheme} is neither http, https nor all")]
    ProxyScheme { scheme: String },
    /// The URL is left out, it may hold a password.
    #[error("bad URL of a proxy for {scheme}")]
    Proxy { scheme: String },
    #[error("TLS: {0}")]
    Tls(#[source] reqwest::Error),
    #[error("{0}")]
    Interrupted(#[source] JoinError),
}

/// What a file of the TLS options holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    Authority,
    Certificate,
    Key,
}

impl ClientError {
    /// What the file holds that cannot be used.
    pub(crate) fn part(&self) -> Option<TlsPart> {
        match self {
            Self::File { part, .. } | Self::Pem { part, .. } => Some(*part),
            Self::NoCertificate { .. } => Some(TlsPart::Authority),
            _ => None,
        }
    }
}

/// A request that got no answer, or none that may be used. No text of it has more of a URL than its origin.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("there is no HTTP client: {0}")]
    Client(#[from] ClientError),
    #[error("the URL is malformed: {0}")]
    Url(url::ParseError),
    #[error("nothing can be received in the background: {0}")]
    Threads(#[source] io::Error),
    #[error("a header has characters that HTTP does not allow")]
    Header,
    /// The URL filter forbids it.
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Transport(TransportError),
    /// Credentials would go along.
    #[error("{from} redirects to {to}: a request with credentials is not sent to another scheme, host or port")]
    OtherOrigin { from: String, to: String },
    #[error("more than {limit} redirects")]
    TooManyRedirects { limit: usize },
    #[error("the answer has more than {limit} bytes")]
    Size { limit: usize },
}

impl RequestError {
    /// Whether the connection could not be made or broke before the answer. A timeout is none of these: the caller has waited
    /// long enough.
    pub fn is_broken_connection(&self) -> bool {
        match self {
            Self::Transport(TransportError(error)) => error.is_connect() || error.is_request() && !error.is_timeout(),
            _ => false,
        }
    }
}

/// Shown with all its causes, but without the URL, which may hold credentials.
#[derive(Debug, thiserror::Error)]
#[error("{}", chain(.0).map(ToString::to_string).collect::<Vec<_>>().join(": "))]
pub struct TransportError(reqwest::Error);

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }
}

impl From<reqwest::Error> for RequestError {
    /// What the filter says about addresses comes back as a failed look-up of the name.
    fn from(error: reqwest::Error) -> Self {
        let refused = chain(&error).find_map(|cause| cause.downcast_ref::<Refused>()).cloned();
        refused.map_or_else(|| Self::Transport(error.into()), Self::Refused)
    }
}
