//! Asking Keystone about other people's tokens (upstream: `keystonemiddleware/auth_token/_identity.py`).

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderValue, StatusCode};
use reqwest::Response;

use super::error::KeystoneError;
use super::outgoing::{Outgoing, TransportError};
use super::session::{Grant, Session};
use super::token::{Envelope, Token};
use super::{answer, discovery};

/// Validates tokens with a service account's own.
#[derive(Debug)]
pub struct Validator {
    pub client: Outgoing,
    pub session: Session,
    /// Of Keystone's endpoint in the catalog.
    pub interface: String,
    pub region: Option<String>,
    /// For each request.
    pub timeout: Duration,
    /// How often a connection that cannot be made, or breaks before the answer, is tried again.
    pub retries: u32,
    /// Whether the answers are to hold the catalog.
    pub with_catalog: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Validated {
    /// Keystone knows the token; and how many bytes it said about it.
    Known(Arc<Token>, usize),
    Unknown,
}

/// The pause before the first new try; it doubles with each one. As keystoneauth's.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

impl Validator {
    /// Asks about `token`; about one that has ended as well if `allow_expired`.
    ///
    /// # Errors
    /// Keystone is not there, refuses the service account, or answers nonsense.
    pub async fn validate(&self, token: &HeaderValue, allow_expired: bool) -> Result<Validated, Arc<KeystoneError>> {
        let mut relogin = true;
        loop {
            let grant = self.session.grant().await?;
            let response = self.ask(&grant, token, allow_expired).await?;
            match response.status() {
                StatusCode::NOT_FOUND => return Ok(Validated::Unknown),
                StatusCode::UNAUTHORIZED if relogin => {
                    // Our own token: ended early, or revoked.
                    tracing::info!("Keystone does not accept the token of the service, logging in again");
                    self.session.discard(&grant);
                    relogin = false;
                }
                StatusCode::UNAUTHORIZED => return Err(Arc::new(KeystoneError::Refused)),
                _ => {
                    let response = answer::successful(response, "token validation")?;
                    let (Envelope { token }, size) = answer::json(response, "token validation").await?;
                    return Ok(Validated::Known(Arc::new(token), size));
                }
            }
        }
    }

    async fn ask(&self, grant: &Grant, token: &HeaderValue, allow_expired: bool) -> Result<Response, KeystoneError> {
        let base = self.session.identity_url(grant, &self.interface, self.region.as_deref()).await?;
        let mut url = discovery::below(base, &["auth", "tokens"]);
        match (self.with_catalog, allow_expired) {
            (true, false) => {}
            (true, true) => url.set_query(Some("allow_expired=1")),
            (false, false) => url.set_query(Some("nocatalog")),
            (false, true) => url.set_query(Some("nocatalog&allow_expired=1")),
        }
        let client = self.client.ready().await?;
        let mut pause = FIRST_PAUSE;
        for tries_left in (0..=self.retries).rev() {
            let request = client
                .get(url.clone())
                .timeout(self.timeout)
                .header(ACCEPT, "application/json")
                .header("X-Auth-Token", grant.token.expose())
                .header("X-Subject-Token", token)
                // That we check the access rules of application credentials.
                .header("OpenStack-Identity-Access-Rules", "1");
            match request.send().await {
                // Not after a timeout: the caller has waited long enough.
                Err(error) if tries_left > 0 && (error.is_connect() || error.is_request() && !error.is_timeout()) => {
                    tracing::debug!(tries_left, "no connection to Keystone, trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answered => return Ok(answered.map_err(TransportError::from)?),
            }
        }
        Err(KeystoneError::Status { what: "token validation", status: StatusCode::SERVICE_UNAVAILABLE })
    }
}
