//! Asking Keystone about other people's tokens (upstream: `keystonemiddleware/auth_token/_identity.py`).

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, StatusCode};

use super::error::KeystoneError;
use super::identity_url::IdentityUrl;
use super::outgoing::{Answer, Outgoing};
use super::region::Region;
use super::session::{Grant, Session};
use super::token::{Envelope, Token};
use super::{answer, discovery};

/// How to ask.
#[derive(Clone, Debug)]
pub(crate) struct ValidatorOptions {
    /// Of Keystone's endpoint in the catalog.
    pub interface: String,
    pub region: Option<Region>,
    /// How often a connection that cannot be made, or breaks before the answer, is tried again.
    pub retries: u32,
    /// Whether the answers are to hold the catalog.
    pub with_catalog: bool,
}

/// Validates tokens with a service account's own.
#[derive(Debug)]
pub(crate) struct Validator {
    client: Outgoing,
    session: Session,
    options: ValidatorOptions,
    url: IdentityUrl,
}

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// That we check the access rules of application credentials.
const ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Validated {
    /// Keystone knows the token; and how many bytes it said about it.
    Known(Arc<Token>, usize),
    Unknown,
}

/// The pause before the first new try; it doubles with each one. As keystoneauth's.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

impl Validator {
    /// Makes no request yet.
    pub(crate) fn new(client: Outgoing, session: Session, options: ValidatorOptions) -> Self {
        let url = IdentityUrl::new(vec![options.interface.clone()], options.region.clone(), None);
        Self { client, session, options, url }
    }

    /// Asks about `token`; about one that has ended as well if `allow_expired`.
    ///
    /// # Errors
    /// Keystone is not there, refuses the service account, or answers nonsense.
    pub(crate) async fn validate(
        &self,
        token: &HeaderValue,
        allow_expired: bool,
    ) -> Result<Validated, Arc<KeystoneError>> {
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

    async fn ask(
        &self,
        grant: &Arc<Grant>,
        token: &HeaderValue,
        allow_expired: bool,
    ) -> Result<Answer, Arc<KeystoneError>> {
        let mut url = discovery::below(&self.url.find(&self.client, grant).await?, &["auth", "tokens"]);
        match (self.options.with_catalog, allow_expired) {
            (true, false) => {}
            (true, true) => url.set_query(Some("allow_expired=1")),
            (false, false) => url.set_query(Some("nocatalog")),
            (false, true) => url.set_query(Some("nocatalog&allow_expired=1")),
        }
        let mut pause = FIRST_PAUSE;
        for tries_left in (0..=self.options.retries).rev() {
            let request = self
                .client
                .get(url.as_str())
                .header(ACCEPT, "application/json")
                .header(X_AUTH_TOKEN, grant.token.expose())
                .header(X_SUBJECT_TOKEN, token)
                .header(ACCESS_RULES, "1");
            match request.send().await {
                Err(error) if tries_left > 0 && error.is_broken_connection() => {
                    tracing::debug!(tries_left, "no connection to Keystone, trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answered => return answered.map_err(|error| Arc::new(error.into())),
            }
        }
        let (what, status) = ("token validation", StatusCode::SERVICE_UNAVAILABLE);
        Err(Arc::new(KeystoneError::Status { what, status }))
    }
}
