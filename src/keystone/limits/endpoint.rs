//! The endpoint of this service, to which its limits belong.

use std::sync::Arc;

use serde::Deserialize;

use super::Account;
use crate::keystone::error::KeystoneError;

/// How the operator names the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Id(String),
    /// By its service and, where there are several, its region.
    Service {
        kind: Option<String>,
        name: Option<String>,
        region: Option<String>,
        interface: String,
    },
}

/// What limits are asked for by.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    service_id: String,
    #[serde(default)]
    region_id: Option<String>,
}

impl Endpoint {
    pub(super) fn query(&self) -> [(&'static str, Option<&str>); 2] {
        [("service_id", Some(self.service_id.as_str())), ("region_id", self.region_id.as_deref())]
    }
}

impl Wanted {
    /// # Errors
    /// There is none, or several.
    pub(super) async fn find(&self, keystone: &Account) -> Result<Endpoint, Arc<KeystoneError>> {
        let missing = |what: String| {
            move |error: Arc<KeystoneError>| {
                if error.is_missing() { Arc::new(KeystoneError::LimitEndpoint(what)) } else { error }
            }
        };
        let (kind, name, region, interface) = match self {
            Self::Id(id) => {
                let found = keystone.get::<OneEndpoint>(&["endpoints", id], &[], "an endpoint").await;
                let none = missing(format!("endpoint_id: Keystone has no endpoint {id}"));
                return Ok(found.map_err(none)?.endpoint);
            }
            Self::Service { kind, name, region, interface } => (kind, name, region, interface),
        };
        let query = [("type", kind.as_deref()), ("name", name.as_deref())];
        let services = keystone.get::<Services>(&["services"], &query, "a service").await?.services;
        let service = one(services, "endpoint_service_type and endpoint_service_name", "service")?.id;
        if let Some(region) = region {
            let none = missing(format!("endpoint_region_name: Keystone has no region {region}"));
            keystone.get::<serde::de::IgnoredAny>(&["regions", region], &[], "a region").await.map_err(none)?;
        }
        let query = [
            ("service_id", Some(service.as_str())),
            ("region_id", region.as_deref()),
            ("interface", Some(interface.trim_end_matches("URL"))),
        ];
        let endpoints = keystone.get::<Endpoints>(&["endpoints"], &query, "endpoints").await?.endpoints;
        one(endpoints, "endpoint_region_name and endpoint_interface", "endpoint")
    }
}

/// The only one.
fn one<T>(found: Vec<T>, options: &str, what: &str) -> Result<T, Arc<KeystoneError>> {
    let count = found.len();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        _ => {
            let words = format!("{options}: Keystone has {count} of the {what} that they name, and it must be one");
            Err(Arc::new(KeystoneError::LimitEndpoint(words)))
        }
    }
}

#[derive(Deserialize)]
struct OneEndpoint {
    endpoint: Endpoint,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    id: String,
}
