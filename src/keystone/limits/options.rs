//! `[oslo_limit]`, understood.

use std::time::Duration;

use url::Url;

use super::endpoint::Wanted;
use crate::config::{Config, FileStates, OsloLimitSection, given};
use crate::keystone::error::KeystoneError;
use crate::keystone::login::{Login, LoginOptions};
use crate::keystone::outgoing::{Options, Outgoing, Timeout, Tls};
use crate::keystone::region::Region;

const SECTION: &str = "oslo_limit";

/// For one request where `timeout` is not set: upstream waits for ever.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a [`UnifiedLimits`](super::UnifiedLimits) is made from: its options, and the state of the files that its TLS options depend on.
#[derive(Debug, PartialEq)]
pub(super) struct Origin {
    section: OsloLimitSection,
    cache_time: i64,
    files: FileStates,
}

impl Origin {
    pub(super) fn read(config: &Config) -> Self {
        let section = config.oslo_limit.clone();
        let files = FileStates::read(tls(&section).files());
        Self { section, cache_time: config.service.keystone_limits_cache_time, files }
    }
}

/// How to ask for limits.
pub(super) struct LimitOptions {
    pub(super) login: Login,
    /// Interfaces of Keystone's endpoint, in the order in which they are tried.
    pub(super) interfaces: Vec<String>,
    /// Of Keystone's endpoint.
    pub(super) region: Option<Region>,
    /// Keystone's API, in place of what the catalog says.
    pub(super) url: Option<Url>,
    pub(super) endpoint: Wanted,
    /// How long an answer is good for others.
    pub(super) keep: Duration,
    tls: Tls,
    timeout: Duration,
}

impl LimitOptions {
    /// # Errors
    /// Something is missing or no URL.
    pub(super) fn new(config: &Config) -> Result<Self, KeystoneError> {
        let section = &config.oslo_limit;
        let url = given(&section.endpoint_override).map(|url| {
            Url::parse(&url).map_err(|source| KeystoneError::OptionUrl {
                section: SECTION,
                option: "endpoint_override",
                source,
            })
        });
        let interfaces = section.valid_interfaces.clone().filter(|interfaces| !interfaces.is_empty());
        let seconds = section.timeout.filter(|seconds| *seconds > 0.0);
        let keep = u64::try_from(config.service.keystone_limits_cache_time).unwrap_or(0);
        Ok(Self {
            login: login(section)?,
            interfaces: interfaces.unwrap_or_else(|| vec!["public".to_owned()]),
            region: Region::of_option(config, SECTION, "region_name", section.region_name.as_deref()),
            url: url.transpose()?,
            endpoint: wanted(section)?,
            keep: Duration::from_secs(keep),
            tls: tls(section),
            timeout: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(TIMEOUT),
        })
    }

    pub(super) fn client(&self) -> Result<Outgoing, KeystoneError> {
        let options = Options { tls: self.tls.clone(), timeout: Timeout::Whole(self.timeout), ..Options::default() };
        Outgoing::new(options).map_err(|source| KeystoneError::client(SECTION, "cafile", source))
    }
}

fn tls(section: &OsloLimitSection) -> Tls {
    Tls {
        ca_file: section.cafile.clone(),
        cert_file: section.certfile.clone(),
        key_file: section.keyfile.clone(),
        insecure: section.insecure,
    }
}

fn wanted(section: &OsloLimitSection) -> Result<Wanted, KeystoneError> {
    if let Some(id) = given(&section.endpoint_id) {
        return Ok(Wanted::Id(id));
    }
    let (kind, name) = (given(&section.endpoint_service_type), given(&section.endpoint_service_name));
    if kind.is_none() && name.is_none() {
        return Err(KeystoneError::Missing { section: SECTION, option: "endpoint_id" });
    }
    let (region, interface) = (given(&section.endpoint_region_name), section.endpoint_interface.clone());
    Ok(Wanted::Service { kind, name, region, interface })
}

/// The service account; a project may be given by the names that it once had.
fn login(section: &OsloLimitSection) -> Result<Login, KeystoneError> {
    let mut options = LoginOptions::from(section);
    options.project_id = options.project_id.or_else(|| section.tenant_id.clone());
    options.project_name = options.project_name.or_else(|| section.tenant_name.clone());
    Login::new(&options)
}
