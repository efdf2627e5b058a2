//! Requests to the routes of cache management (`glance/image_cache/client.py`, `glance/common/client.py`, `glance/common/auth.py`).

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::arguments::{Credentials, Line};
use crate::config::Secret;
use crate::keystone::outgoing::{ClientError, Options, Outgoing, Proxies, RequestError, Timeout, Tls};
use crate::keystone::{KeystoneError, Login, LoginOptions, Session};

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Bytes of an answer that are read; a list of a hundred thousand images has less.
const LONGEST_ANSWER: usize = 64 << 20;

/// A large cache is emptied before the answer comes.
const TIMEOUT: Timeout = Timeout::Step { connect: Duration::from_secs(30), read: Duration::from_secs(600) };

/// Why there is no answer that can be used. The texts are upstream's as far as upstream has one.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("An object with the specified identifier was not found.")]
    NotFound,
    #[error("You are not authorized to complete this action.")]
    Forbidden,
    #[error("You are not authenticated.")]
    Unauthenticated,
    #[error("Missing required credential: {0}")]
    Credential(&'static str),
    #[error("Unknown auth strategy '{0}'")]
    Strategy(String),
    #[error("The request returned 500 Internal Server Error.")]
    Internal,
    #[error(
        "The request returned 503 Service Unavailable. This generally occurs on service overload or other transient outage."
    )]
    Unavailable,
    #[error("The request returned an unexpected status: {status}.\n\nThe response body:\n{body}")]
    Status { status: u16, body: String },
    /// What the service says about a request that it does not take.
    #[error("{0}")]
    Refused(String),
    #[error("the address of the service is none: {0}")]
    Address(#[from] url::ParseError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Keystone(Arc<KeystoneError>),
    #[error("the answer of the service makes no sense: {0}")]
    Answer(#[from] serde_json::Error),
}

/// An image of the cache, as the service lists it.
#[derive(Debug, Deserialize)]
pub(super) struct CachedImage {
    pub(super) image_id: String,
    /// Seconds since 1970.
    pub(super) last_accessed: f64,
    pub(super) last_modified: f64,
    /// Bytes.
    pub(super) size: u64,
    pub(super) hits: u64,
}

/// A service, and who asks it.
pub(super) struct Client {
    base: Url,
    outgoing: Outgoing,
    identity: Identity,
}

enum Identity {
    Nobody,
    Token(Secret),
    Account(Box<Session>),
}

impl Client {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// A part of the credentials is missing, or the address is none.
    pub(super) fn new(line: &Line, credentials: Credentials) -> Result<Self, AskError> {
        let host = if line.host.parse::<Ipv6Addr>().is_ok() { format!("[{}]", line.host) } else { line.host.clone() };
        let base = Url::parse(&format!("http://{host}:{}/v2/", line.port))?;
        // Upstream's client of the service does not know proxies, that of Keystone does.
        let options = Options { timeout: TIMEOUT, proxies: Proxies::Listed(Vec::new()), ..Options::default() };
        let identity = Identity::new(credentials, line.insecure)?;
        Ok(Self { base, outgoing: Outgoing::new(options)?, identity })
    }

    pub(super) async fn cached(&self) -> Result<Vec<CachedImage>, AskError> {
        #[derive(Deserialize)]
        struct Document {
            cached_images: Vec<CachedImage>,
        }
        let document: Document = serde_json::from_slice(&self.ask(Method::GET, &["cached_images"]).await?)?;
        Ok(document.cached_images)
    }

    pub(super) async fn queued(&self) -> Result<Vec<String>, AskError> {
        #[derive(Deserialize)]
        struct Document {
            queued_images: Vec<String>,
        }
        let document: Document = serde_json::from_slice(&self.ask(Method::GET, &["queued_images"]).await?)?;
        Ok(document.queued_images)
    }

    pub(super) async fn queue(&self, image: &str) -> Result<(), AskError> {
        self.ask(Method::PUT, &["queued_images", image]).await.map(drop)
    }

    pub(super) async fn delete_cached(&self, image: &str) -> Result<(), AskError> {
        self.ask(Method::DELETE, &["cached_images", image]).await.map(drop)
    }

    pub(super) async fn delete_queued(&self, image: &str) -> Result<(), AskError> {
        self.ask(Method::DELETE, &["queued_images", image]).await.map(drop)
    }

    /// Gives their number.
    pub(super) async fn delete_all_cached(&self) -> Result<u64, AskError> {
        self.delete_all("cached_images").await
    }

    /// Gives their number.
    pub(super) async fn delete_all_queued(&self) -> Result<u64, AskError> {
        self.delete_all("queued_images").await
    }

    async fn delete_all(&self, what: &str) -> Result<u64, AskError> {
        #[derive(Deserialize)]
        struct Document {
            num_deleted: u64,
        }
        let document: Document = serde_json::from_slice(&self.ask(Method::DELETE, &[what]).await?)?;
        Ok(document.num_deleted)
    }

    /// The body of the answer.
    async fn ask(&self, method: Method, path: &[&str]) -> Result<Vec<u8>, AskError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.outgoing.request(method, url);
        if let Some(token) = self.identity.token().await? {
            request = request.header(TOKEN, token.expose());
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes(LONGEST_ANSWER).await?;
        let text = || String::from_utf8_lossy(&body).into_owned();
        Err(match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => return Ok(body),
            StatusCode::NOT_FOUND => AskError::NotFound,
            StatusCode::FORBIDDEN => AskError::Forbidden,
            StatusCode::UNAUTHORIZED => AskError::Unauthenticated,
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT => AskError::Refused(text()),
            StatusCode::INTERNAL_SERVER_ERROR => AskError::Internal,
            StatusCode::SERVICE_UNAVAILABLE => AskError::Unavailable,
            other => AskError::Status { status: other.as_u16(), body: text() },
        })
    }
}

impl Identity {
    fn new(credentials: Credentials, insecure: bool) -> Result<Self, AskError> {
        if let Some(token) = credentials.token {
            return Ok(Self::Token(token));
        }
        let strategy = match (&credentials.auth_url, credentials.strategy.as_deref()) {
            (Some(_), _) => "keystone",
            (None, None) => "noauth",
            (None, Some(named)) => named,
        };
        match strategy {
            "noauth" => return Ok(Self::Nobody),
            "keystone" => {}
            other => return Err(AskError::Strategy(other.to_owned())),
        }
        let needed = |value: Option<String>, name| value.ok_or(AskError::Credential(name));
        let username = needed(credentials.username, "username")?;
        let password = credentials.password.ok_or(AskError::Credential("password"))?;
        let auth_url = needed(credentials.auth_url, "auth_url")?;
        let project = needed(credentials.project, "project")?;
        let login = Login::new(&LoginOptions {
            section: "credentials",
            // The URL names the version: there is nothing to discover.
            auth_type: Some("v3password".to_owned()),
            auth_url: Some(auth_url),
            username: Some(username),
            user_domain_id: Some(credentials.user_domain),
            password: Some(password),
            project_name: Some(project),
            project_domain_id: Some(credentials.project_domain),
            ..LoginOptions::default()
        });
        let login = login.map_err(|error| AskError::Keystone(Arc::new(error)))?;
        let options = Options { tls: Tls { insecure, ..Tls::default() }, ..Options::default() };
        Ok(Self::Account(Box::new(Session::new(Outgoing::new(options)?, login))))
    }

    async fn token(&self) -> Result<Option<Secret>, AskError> {
        match self {
            Self::Nobody => Ok(None),
            Self::Token(token) => Ok(Some(token.clone())),
            Self::Account(session) => match session.grant().await {
                Ok(grant) => Ok(Some(grant.token.clone())),
                Err(error) if matches!(&*error, KeystoneError::Login(StatusCode::UNAUTHORIZED)) => {
                    Err(AskError::Unauthenticated)
                }
                Err(error) => Err(AskError::Keystone(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(credentials: Credentials) -> Result<Identity, String> {
        Identity::new(credentials, false).map_err(|error| error.to_string())
    }

    #[test]
    fn who_asks_follows_from_what_is_given() {
        let strategy = |name: &str| Credentials { strategy: Some(name.to_owned()), ..Credentials::default() };
        assert!(matches!(identity(Credentials::default()), Ok(Identity::Nobody)));
        assert!(matches!(identity(strategy("noauth")), Ok(Identity::Nobody)));
        let token = Credentials { token: Some("t".into()), ..strategy("nonsense") };
        assert!(matches!(identity(token), Ok(Identity::Token(_))));
        assert_eq!(identity(strategy("magic")).err().unwrap(), "Unknown auth strategy 'magic'");
        let mut account = Credentials { auth_url: Some("http://k/v3".to_owned()), ..strategy("noauth") };
        let missing = |account: &Credentials| {
            let Credentials { username, password, project, auth_url, .. } = account;
            let (username, password) = (username.clone(), password.clone());
            let (project, auth_url) = (project.clone(), auth_url.clone());
            identity(Credentials { username, password, project, auth_url, ..Credentials::default() }).err()
        };
        assert_eq!(missing(&account).unwrap(), "Missing required credential: username");
        account.username = Some("u".to_owned());
        assert_eq!(missing(&account).unwrap(), "Missing required credential: password");
        account.password = Some("p".into());
        assert_eq!(missing(&account).unwrap(), "Missing required credential: project");
        account.project = Some("x".to_owned());
        assert!(matches!(identity(account), Ok(Identity::Account(_))));
    }
}
