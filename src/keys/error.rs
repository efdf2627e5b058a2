use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::keystone::KeystoneError;
use crate::keystone::outgoing::RequestError;

/// A key could not be deleted.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("its id is no UUID, nor a reference that ends in one")]
    Id,
    #[error("the caller has no token")]
    NoToken,
    #[error("the service catalog has no {interface} endpoint of key-manager{}", in_region(region))]
    Endpoint { interface: String, region: Option<String> },
    #[error("the endpoint of key-manager in the service catalog is no URL: {0}")]
    Url(#[from] url::ParseError),
    #[error("the service user of [barbican_service_user]: {0}")]
    ServiceUser(Arc<KeystoneError>),
    #[error("{0}")]
    Catalog(KeystoneError),
    #[error("Barbican cannot be reached: {0}")]
    Unreachable(#[from] RequestError),
    #[error("Barbican answers {0}")]
    Status(StatusCode),
    #[error("Barbican's answer about the key makes no sense: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("it has consumers")]
    InUse,
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("[key_manager] backend {0} is not part of this version")]
    Unsupported(String),
}

impl KeyError {
    /// Whether there is no such key.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND))
    }
}

fn in_region(region: &Option<String>) -> String {
    region.as_ref().map(|region| format!(" in region {region}")).unwrap_or_default()
}
