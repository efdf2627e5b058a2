//! Barbican (upstream: `castellan/key_manager/barbican_key_manager.py` and `barbicanclient/v1/secrets.py`).

use http::header::ACCEPT;
use http::{HeaderName, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::error::KeyError;
use super::options::BarbicanOptions;
use crate::config::{Config, Secret};
use crate::identity::Context;
use crate::keystone::outgoing::{Answer, Outgoing};
use crate::keystone::{KeystoneError, Session, below, catalog, catalog_of_token};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");
const API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");

/// Its type in the catalog.
const SERVICE: &str = "key-manager";

/// The API that is spoken, a part of each path.
const V1: &str = "v1";

/// From this version on, Barbican itself refuses to delete a key that others have said to need.
const GUARDED: &str = "key-manager 1.2";

/// With this version, it tells who has said so. An older Barbican knows of no such thing, and ignores the header.
const TOLD: &str = "key-manager 1.1";

/// A document about a key holds no key.
const DOCUMENT: usize = 1 << 20;

/// Asks Barbican with the tokens of callers, as they are: a token made of one (as upstream has it made at `auth_endpoint`) has neither
/// other rights nor another end.
#[derive(Debug)]
pub(super) struct Barbican {
    client: Outgoing,
    endpoint: Option<Url>,
    interface: String,
    region: Option<String>,
    keystone: Url,
    /// Logs in only when a token is needed.
    service_user: Option<Session>,
}

impl Barbican {
    /// # Errors
    /// As [`BarbicanOptions::new`].
    pub(super) fn new(config: &Config) -> Result<Self, KeystoneError> {
        let BarbicanOptions { endpoint, interface, region, keystone, service_user, client } =
            BarbicanOptions::new(config)?;
        let service_user = service_user.map(|login| Session::new(client.clone(), login));
        Ok(Self { client, endpoint, interface, region, keystone, service_user })
    }

    /// Deletes a key, unless others have said that they need it.
    ///
    /// # Errors
    /// Whatever keeps the key from being deleted.
    pub(super) async fn delete(&self, caller: &Context, key: &str) -> Result<(), KeyError> {
        let id = id_of(key).ok_or(KeyError::Id)?;
        let token = caller.token.as_ref().ok_or(KeyError::NoToken)?;
        let url = secret_url(&self.endpoint(caller, token).await?, id);
        let answer = self.send(Method::DELETE, &url, token, GUARDED).await?;
        if answer.status() != StatusCode::NOT_ACCEPTABLE {
            return successful(answer).map(drop);
        }
        let found = successful(self.send(Method::GET, &url, token, TOLD).await?)?;
        let document: Document = serde_json::from_slice(&found.bytes(DOCUMENT).await?)?;
        if document.consumers.is_some_and(|consumers| !consumers.is_empty()) {
            return Err(KeyError::InUse);
        }
        successful(self.send(Method::DELETE, &url, token, TOLD).await?).map(drop)
    }

    /// Where Barbican is for this caller.
    async fn endpoint(&self, caller: &Context, token: &Secret) -> Result<Url, KeyError> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let told: Value;
        let catalog = match &caller.service_catalog {
            Some(catalog) => &**catalog,
            None => {
                told = catalog_of_token(&self.client, &self.keystone, token).await.map_err(KeyError::Catalog)?;
                &told
            }
        };
        let found = catalog::endpoint(catalog, SERVICE, &self.interface, self.region.as_deref());
        let missing = || KeyError::Endpoint { interface: self.interface.clone(), region: self.region.clone() };
        Ok(Url::parse(found.ok_or_else(missing)?)?)
    }

    /// Sends a request, a second time if the service user's token may be why it was refused.
    async fn send(&self, method: Method, url: &Url, token: &Secret, version: &str) -> Result<Answer, KeyError> {
        let mut relogin = true;
        loop {
            let request = self.client.request(method.clone(), url.as_str()).header(ACCEPT, "application/json");
            let mut request = request.header(AUTH_TOKEN, token.expose()).header(API_VERSION, version);
            let grant = match &self.service_user {
                Some(session) => Some((session, session.grant().await.map_err(KeyError::ServiceUser)?)),
                None => None,
            };
            if let Some((_, grant)) = &grant {
                request = request.header(SERVICE_TOKEN, grant.token.expose());
            }
            let answer = request.send().await?;
            match grant {
                Some((session, grant)) if answer.status() == StatusCode::UNAUTHORIZED && relogin => {
                    session.discard(&grant);
                    relogin = false;
                }
                _ => return Ok(answer),
            }
        }
    }
}

#[derive(Deserialize)]
struct Document {
    consumers: Option<Vec<Value>>,
}

/// The id in a property, which may be a reference to the key: a URL that ends in it.
fn id_of(key: &str) -> Option<Uuid> {
    let last = key.trim_end_matches('/').rsplit('/').next()?;
    Uuid::try_parse(last).ok()
}

/// Catalogs have Barbican with the version of its API and without.
fn secret_url(endpoint: &Url, id: Uuid) -> Url {
    let named = endpoint.path().trim_end_matches('/').ends_with("/v1");
    let version: &[&str] = if named { &[] } else { &[V1] };
    below(endpoint, &[version, &["secrets", &id.to_string()]].concat())
}

fn successful(answer: Answer) -> Result<Answer, KeyError> {
    match answer.status() {
        status if status.is_success() => Ok(answer),
        status => Err(KeyError::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_id_or_by_a_reference() {
        let id = "d152fa13-2b41-42ca-a934-6c21566c0f40";
        let expected = Uuid::try_parse(id).ok();
        for text in [id, &id.replace('-', ""), &format!("http://b:9311/v1/secrets/{id}"), &format!("secrets/{id}//")] {
            assert_eq!(id_of(text), expected, "{text}");
        }
        for text in ["", "/", "..", "secrets", &format!("{id}?x"), &format!("{id}/payload"), "d152fa13"] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }

    #[test]
    fn the_version_is_named_once() {
        let id = Uuid::nil();
        for (endpoint, expected) in [
            ("http://b:9311", "http://b:9311/v1/secrets/"),
            ("http://b:9311/v1/", "http://b:9311/v1/secrets/"),
            ("https://cloud/key-manager", "https://cloud/key-manager/v1/secrets/"),
            ("https://cloud/key-manager/v1", "https://cloud/key-manager/v1/secrets/"),
        ] {
            assert_eq!(secret_url(&Url::parse(endpoint).unwrap(), id).as_str(), format!("{expected}{id}"));
        }
    }
}
