//! A service account that stays logged in.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::ACCEPT;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use url::Url;

use super::error::{KeystoneError, UnknownRegion};
use super::login::Login;
use super::outgoing::Outgoing;
use super::region::Region;
use super::single_flight::SingleFlight;
use super::token::Envelope;
use super::{answer, catalog, discovery};
use crate::config::Secret;

/// Logs in when a token is first needed, and again before it ends or after somebody refused it. Any number of tasks that need
/// a token at the same time cause one login, and share its failure.
#[derive(Debug)]
pub(crate) struct Session {
    client: Outgoing,
    login: Login,
    /// Where the v3 API is; asked for once.
    auth_url: OnceCell<Url>,
    current: Mutex<Option<Arc<Grant>>>,
    /// To log in.
    flight: SingleFlight,
}

/// A token of the service account.
#[derive(Debug)]
pub(crate) struct Grant {
    pub token: Secret,
    expires: OffsetDateTime,
    catalog: Value,
}

/// A token is renewed so long before its end, as keystoneauth does.
const MARGIN: time::Duration = time::Duration::seconds(120);

impl Session {
    /// Makes no request yet.
    pub(crate) fn new(client: Outgoing, login: Login) -> Self {
        let (auth_url, current, flight) = (OnceCell::new(), Mutex::new(None), SingleFlight::default());
        Self { client, login, auth_url, current, flight }
    }

    /// A token that is good for at least two minutes, as far as is known.
    ///
    /// # Errors
    /// Keystone is not there, or does not accept the credentials.
    pub(crate) async fn grant(&self) -> Result<Arc<Grant>, Arc<KeystoneError>> {
        let log_in = async {
            let grant = Arc::new(self.log_in().await?);
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(grant.clone());
            Ok(grant)
        };
        self.flight.get(|| self.usable(), log_in).await
    }

    /// Says that a service did not accept this token, so that the next one is new.
    pub(crate) fn discard(&self, grant: &Arc<Grant>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, grant)) {
            *current = None;
        }
    }

    fn usable(&self) -> Option<Arc<Grant>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|grant| grant.expires - OffsetDateTime::now_utc() > MARGIN)
    }

    async fn log_in(&self) -> Result<Grant, KeystoneError> {
        let find = || discovery::v3(&self.client, &self.login.url, self.login.discover);
        let url = discovery::below(self.auth_url.get_or_try_init(find).await?, &["auth", "tokens"]);
        let request = self.client.post(url).header(ACCEPT, "application/json").json(&self.login.body());
        let response = request.send().await?;
        if response.status().is_client_error() {
            return Err(KeystoneError::Login(response.status()));
        }
        let response = answer::successful(response, "login")?;
        let header = response.headers().get("x-subject-token").and_then(|value| value.to_str().ok());
        let secret = header.map(Secret::from).ok_or(KeystoneError::NoToken)?;
        let (Envelope { token }, _) = answer::json(response, "login").await?;
        tracing::debug!(account = token.user.id, expires = %token.expires, "logged in to Keystone");
        Ok(Grant {
            token: secret,
            expires: token.expires,
            catalog: token.catalog.as_deref().cloned().unwrap_or_default(),
        })
    }
}

impl Grant {
    /// The endpoint of a service, from the catalog that came with the token.
    ///
    /// # Errors
    /// The catalog has none, or what it has is no URL.
    pub(crate) fn endpoint(
        &self,
        service: &str,
        interface: &str,
        region: Option<&Region>,
    ) -> Result<Url, KeystoneError> {
        let missing = || {
            let (service, interface) = (service.to_owned(), interface.to_owned());
            match region {
                None => KeystoneError::Endpoint { service, interface },
                Some(region) => KeystoneError::Region(Box::new(UnknownRegion {
                    region: region.clone(),
                    service,
                    interface,
                    known: catalog::regions(&self.catalog),
                })),
            }
        };
        let name = region.map(|region| region.name.as_str());
        let url = catalog::endpoint(&self.catalog, service, interface, name).ok_or_else(missing)?;
        Url::parse(url).map_err(|source| KeystoneError::Url { what: "an endpoint in the service catalog", source })
    }
}
