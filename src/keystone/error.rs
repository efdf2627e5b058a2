//! Why Keystone, or a service beside it, gives no answer that can be used.

use http::StatusCode;

use super::outgoing::{ClientError, RequestError, TlsPart};
use super::region::Region;

/// Keystone cannot be used as configured, or does not do its part.
#[derive(Debug, thiserror::Error)]
pub enum KeystoneError {
    #[error("[{section}] {option} is missing")]
    Missing { section: &'static str, option: &'static str },
    #[error("[{section}] auth_type {auth_type} is not supported: use password, v3password or v3applicationcredential")]
    AuthType { section: &'static str, auth_type: String },
    #[error("[{section}] names more than one of project, domain, trust and system to log in to")]
    Scope { section: &'static str },
    #[error("[{section}] system_scope can only be all")]
    SystemScope { section: &'static str },
    /// The text is left out, it may hold a password.
    #[error("[{section}] {option} is no URL: {source}")]
    OptionUrl { section: &'static str, option: &'static str, source: url::ParseError },
    /// The text is left out, as there.
    #[error("{what} is no URL: {source}")]
    Url { what: &'static str, source: url::ParseError },
    /// `option` names the file that is at fault.
    #[error("[{section}] {}{source}", option.map(|name| format!("{name}: ")).unwrap_or_default())]
    Client { section: &'static str, option: Option<&'static str>, source: ClientError },
    #[error("Keystone cannot be reached: {0}")]
    Unreachable(#[from] RequestError),
    #[error("Keystone refuses the login of the service itself: {0}")]
    Login(StatusCode),
    #[error("Keystone does not accept the token of the service itself")]
    Refused,
    #[error("Keystone answers {status} to {what}")]
    Status { what: &'static str, status: StatusCode },
    #[error("Keystone's answer to {what} has more than {limit} bytes")]
    Size { what: &'static str, limit: usize },
    #[error("Keystone's answer to {what} makes no sense: {source}")]
    Answer { what: &'static str, source: serde_json::Error },
    #[error("Keystone's answer to the login has no usable X-Subject-Token")]
    NoToken,
    /// What `[oslo_limit]` says does not lead to one endpoint.
    #[error("[oslo_limit] {0}")]
    LimitEndpoint(String),
    #[error("Keystone's model of limits is {0}, which is not supported")]
    LimitModel(String),
    #[error("the service catalog has no {interface} endpoint of {service}")]
    Endpoint { service: String, interface: String },
    /// Boxed, as it is much larger than the others.
    #[error(transparent)]
    Region(Box<UnknownRegion>),
}

impl KeystoneError {
    /// There can be no client with the options of a section, where this one names the certificates that are trusted.
    pub(crate) fn client(section: &'static str, authority: &'static str, source: ClientError) -> Self {
        let option = source.part().map(|part| match part {
            TlsPart::Authority => authority,
            TlsPart::Certificate => "certfile",
            TlsPart::Key => "keyfile",
        });
        Self::Client { section, option, source }
    }

    /// Whether there is no such thing as was asked for.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::NOT_FOUND, .. })
    }

    /// Whether no answer came.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// Whether it may answer later, rather than being used wrongly.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status { status, .. } | Self::Login(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// An option names a region that the catalog does not have.
#[derive(Debug, thiserror::Error)]
#[error(
    "{region}, but the service catalog has no {interface} endpoint of {service} there; its regions are {}",
    listed(known)
)]
pub struct UnknownRegion {
    pub region: Region,
    pub service: String,
    pub interface: String,
    /// Those of the whole catalog.
    pub known: Vec<String>,
}

/// A catalog comes from elsewhere: a message shows so many of its regions.
const MOST_SHOWN: usize = 20;

fn listed(regions: &[String]) -> String {
    let mut text = regions.iter().take(MOST_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if regions.len() > MOST_SHOWN {
        text.push_str(", …");
    }
    if text.is_empty() { "none".to_owned() } else { text }
}
