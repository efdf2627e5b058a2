//! `[key_manager]`, `[barbican]` and `[barbican_service_user]`, understood.

use std::time::Duration;

use url::Url;

use crate::config::{BarbicanSection, BarbicanServiceUserSection, Config, FileStates, given};
use crate::keystone::outgoing::{Options, Outgoing, Timeout, Tls};
use crate::keystone::{KeystoneError, Login, LoginOptions};

const SECTION: &str = "barbican";

/// How long who waits for a key waits at most. Upstream waits for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a [`KeyManager`](super::KeyManager) is made from: its options, and the state of the files that its TLS options depend on.
#[derive(Debug, PartialEq)]
pub(super) struct Origin {
    backend: String,
    barbican: BarbicanSection,
    service_user: BarbicanServiceUserSection,
    files: FileStates,
}

impl Origin {
    pub(super) fn read(config: &Config) -> Self {
        Self {
            backend: config.key_manager.backend.clone(),
            barbican: config.barbican.clone(),
            service_user: config.barbican_service_user.clone(),
            files: FileStates::read(tls(&config.barbican).files()),
        }
    }
}

/// How to ask Barbican.
pub(super) struct BarbicanOptions {
    /// In place of what a catalog says.
    pub(super) endpoint: Option<Url>,
    /// Of the endpoint in a catalog.
    pub(super) interface: String,
    /// Of the endpoint in a catalog.
    pub(super) region: Option<String>,
    /// The Keystone that tells the catalog of a caller of whom it is not known.
    pub(super) keystone: Url,
    /// Whose token goes along with the caller's.
    pub(super) service_user: Option<Login>,
    /// For Barbican and for Keystone.
    pub(super) client: Outgoing,
}

impl BarbicanOptions {
    /// # Errors
    /// Something is missing, no URL, or a file that cannot be used.
    pub(super) fn new(config: &Config) -> Result<Self, KeystoneError> {
        let section = &config.barbican;
        let url = |option, text: &str| {
            Url::parse(text).map_err(|source| KeystoneError::OptionUrl { section: SECTION, option, source })
        };
        let service_user = &config.barbican_service_user;
        let login = section.send_service_user_token.then(|| Login::new(&LoginOptions::from(service_user)));
        let endpoint = given(&section.barbican_endpoint).map(|text| url("barbican_endpoint", &text));
        Ok(Self {
            endpoint: endpoint.transpose()?,
            interface: section.barbican_endpoint_type.clone(),
            region: given(&section.barbican_region_name),
            keystone: url("auth_endpoint", &section.auth_endpoint)?,
            service_user: login.transpose()?,
            client: client(section)?,
        })
    }
}

fn client(section: &BarbicanSection) -> Result<Outgoing, KeystoneError> {
    let timeout = Timeout::Whole(patience(section));
    let made = Outgoing::new(Options { tls: tls(section), timeout, ..Options::default() });
    made.map_err(|source| KeystoneError::client(SECTION, "verify_ssl_path", source))
}

/// How long all requests about a key may take together.
pub(super) fn patience(section: &BarbicanSection) -> Duration {
    let seconds = section.timeout.filter(|seconds| *seconds > 0.0);
    let wanted = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    wanted.map_or(PATIENCE, |wanted| wanted.min(PATIENCE))
}

fn tls(section: &BarbicanSection) -> Tls {
    let ca_file = section.verify_ssl_path.clone().filter(|path| !path.is_empty());
    Tls { ca_file, insecure: !section.verify_ssl, ..Tls::default() }
}
