//! What must hold among options, and what this service cannot honour but must not lose silently.
//!
//! The rule: where dropping an option would weaken security or misplace data, the start is refused; anything else is a
//! warning.

use super::option::Section as _;
use super::reader::Reader;
use super::{
    AuditMiddlewareNotificationsSection, BarbicanSection, Config, DatabaseSection, DefaultSection,
    ImportFilteringOptsSection, KeyManagerSection, KeystoneAuthtokenSection, OsloLimitSection,
    OsloMessagingKafkaSection, OsloMessagingNotificationsSection, OsloMessagingRabbitSection, OsloPolicySection,
    PasteDeploySection, StoreKind, given,
};

/// Sections whose feature this version does not have: setting one is worth a line.
pub(super) const LATER: [(&str, &str); 4] = [
    (AuditMiddlewareNotificationsSection::NAME, "notifications"),
    (OsloMessagingKafkaSection::NAME, "notifications"),
    (OsloMessagingNotificationsSection::NAME, "notifications"),
    (OsloMessagingRabbitSection::NAME, "notifications"),
];

/// What `hashing_algorithm` can be computed with.
pub(crate) const HASHES: [&str; 15] = [
    "sha512",
    "sha384",
    "sha256",
    "sha224",
    "sha1",
    "md5",
    "blake2b",
    "blake2s",
    "sha512_224",
    "sha512_256",
    "sha3_224",
    "sha3_256",
    "sha3_384",
    "sha3_512",
    "md5-sha1",
];

/// What follows from trusting anyone.
const UNVERIFIED: &str = "leaves certificates unverified: anyone in between can read and change what is sent";

/// The pipelines of upstream's own paste file that have a name.
const FLAVORS: [&str; 5] = ["caching", "cachemanagement", "keystone", "keystone+caching", "keystone+cachemanagement"];

/// Checks all of it.
pub(super) fn check(reader: &mut Reader<'_>, config: &Config, kinds: &[&'static StoreKind]) {
    sources(reader, config);
    database(reader, config);
    tls(reader, config);
    limits(reader, config);
    ways_to_keystone(reader, config);
    keys(reader, config);
    data(reader, config);
    rules(reader, config);
    pipeline(reader, config);
    import_filters(reader, config);
    unverified_tls(reader, config, kinds);
    for (section, feature) in LATER {
        if reader.origins.iter().any(|((name, _), origin)| name == section && origin.is_set()) {
            reader.warn_of_section(section, format_args!("is accepted, but {feature} are not part of this version"));
        }
    }
}

/// What they hold may be anything.
fn sources(reader: &mut Reader<'_>, config: &Config) {
    if !config.default.config_source.is_empty() {
        let reason = "sources of configuration other than files and the environment are not part of this version; put the \
                      options into a file, and remove this one";
        reader.refuse(DefaultSection::NAME, "config_source", reason);
    }
}

fn database(reader: &mut Reader<'_>, config: &Config) {
    if config.database.connection.as_ref().is_none_or(|url| url.expose().is_empty()) {
        let reason = "is not set; it names the database, for instance sqlite:////var/lib/glance/glance.sqlite or \
                      mysql+pymysql://USER:PASSWORD@HOST/glance";
        reader.refuse(DatabaseSection::NAME, "connection", reason);
    }
    let replica = config.database.slave_connection.as_ref();
    if config.database.synchronous_reader && replica.is_some_and(|url| !url.expose().is_empty()) {
        let message = format_args!("has no effect unless synchronous_reader is off");
        reader.warn(DatabaseSection::NAME, "slave_connection", message);
    }
}

/// The first words are those of upstream's former server (`glance/common/wsgi.py`).
fn tls(reader: &mut Reader<'_>, config: &Config) {
    let section = DefaultSection::NAME;
    let default = &config.default;
    let set = |file: &Option<String>| file.is_some();
    if set(&default.cert_file) != set(&default.key_file) {
        let option = if set(&default.cert_file) { "cert_file" } else { "key_file" };
        let reason = "When running server in SSL mode, you must specify both a cert_file and key_file option value in \
                      your configuration file";
        reader.refuse(section, option, reason);
    } else if set(&default.ca_file) && !set(&default.cert_file) {
        let reason = "demands client certificates, but without cert_file and key_file there is no TLS";
        reader.refuse(section, "ca_file", reason);
    }
    if set(&default.cert_file) && config.service.listen_unix.is_some() {
        reader.warn(section, "cert_file", "has no effect on the Unix socket that [service] listen_unix asks for");
    }
    let files = [("cert_file", &default.cert_file), ("key_file", &default.key_file), ("ca_file", &default.ca_file)];
    for (option, file) in files {
        if let Some(path) = file
            && let Err(error) = std::fs::File::open(path)
        {
            reader.refuse(section, option, format!("Unable to find {option} : {path} ({error})"));
        }
    }
}

fn limits(reader: &mut Reader<'_>, config: &Config) {
    let quota = config.default.user_storage_quota.as_str();
    if !is_quota(quota) {
        let reason = format!("{quota} is not a size: a number, and B, KB, MB, GB or TB directly behind it, or nothing");
        reader.refuse(DefaultSection::NAME, "user_storage_quota", reason);
    }
    if config.default.tcp_keepidle > DefaultSection::LONGEST_KEEPIDLE {
        let message = format_args!("is more than the kernel takes, {} is used", DefaultSection::LONGEST_KEEPIDLE);
        reader.warn(DefaultSection::NAME, "tcp_keepidle", message);
    }
}

/// What says where or how safely Keystone is asked, and cannot be honoured.
fn ways_to_keystone(reader: &mut Reader<'_>, config: &Config) {
    if let Some(version) = given(&config.keystone_authtoken.auth_version)
        && major(&version) != Some(3)
    {
        let reason = format!("{version} is not spoken; there is version 3 of Keystone's API");
        reader.refuse(KeystoneAuthtokenSection::NAME, "auth_version", reason);
    }
    if !config.default.use_keystone_limits {
        return;
    }
    let limits = &config.oslo_limit;
    let mut refuse = |option, reason: &str| reader.refuse(OsloLimitSection::NAME, option, reason);
    if limits.tls_min_version.as_deref() == Some("1.3") {
        refuse("tls_min_version", "cannot be kept: TLS 1.2 is spoken as well");
    }
    if given(&limits.tls_ciphers).is_some() {
        refuse("tls_ciphers", "cannot be kept: the ciphers are those of rustls");
    }
    if given(&limits.endpoint_override).is_some() {
        return;
    }
    if given(&limits.service_type).is_some_and(|kind| kind != "identity") {
        refuse(
            "service_type",
            "the endpoint of Keystone is that of the type identity; endpoint_override names another one",
        );
    }
    if given(&limits.service_name).is_some() {
        refuse("service_name", "services are not told apart by name; endpoint_override names an endpoint");
    }
    let versions = [
        ("version", &limits.version, 3..=3),
        ("min_version", &limits.min_version, 0..=3),
        ("max_version", &limits.max_version, 3..=u32::MAX),
    ];
    for (option, version, possible) in versions {
        if given(version)
            .is_some_and(|text| text != "latest" && major(&text).is_none_or(|major| !possible.contains(&major)))
        {
            refuse(option, "there is version 3 of Keystone's API");
        }
    }
}

/// Images are deleted whatever becomes of their keys.
fn keys(reader: &mut Reader<'_>, config: &Config) {
    let backend = &config.key_manager.backend;
    if !config.key_manager.is_barbican() {
        let message =
            format!("{backend} is not part of this version: encryption keys stay when their images are deleted");
        reader.warn(KeyManagerSection::NAME, "backend", message);
    }
    let version = config.barbican.barbican_api_version.as_deref().filter(|version| !version.is_empty());
    if let Some(version) = version.filter(|version| *version != "v1") {
        let reason = format!("{version} is not spoken; there is v1 of Barbican's API");
        reader.refuse(BarbicanSection::NAME, "barbican_api_version", reason);
    }
    if !config.barbican.verify_ssl {
        reader.warn(BarbicanSection::NAME, "verify_ssl", UNVERIFIED);
    }
}

/// The first number of a version such as `v3.14`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

/// `^(\d+)((K|M|G|T)?B)?$` (`glance/api/common.py`).
fn is_quota(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && matches!(text.split_at(digits).1, "" | "B" | "KB" | "MB" | "GB" | "TB")
}

fn data(reader: &mut Reader<'_>, config: &Config) {
    let section = DefaultSection::NAME;
    let default = &config.default;
    if config.stores.is_empty() && !default.node_staging_uri.starts_with("file://") {
        reader.refuse(section, "node_staging_uri", "must be a file:// URI");
    } else if config.stores.is_empty() && !default.node_staging_uri.starts_with("file:///") {
        let message = "is not file:// with an absolute path; images cannot be staged";
        reader.warn(section, "node_staging_uri", message);
    }
    if !HASHES.contains(&default.hashing_algorithm.as_str()) {
        let reason = format!("{} cannot be computed; there are {}", default.hashing_algorithm, HASHES.join(", "));
        reader.refuse(section, "hashing_algorithm", reason);
    }
    if let Some(key) = &default.metadata_encryption_key
        && ![0, 16, 24, 32].contains(&key.expose().len())
    {
        reader.refuse(section, "metadata_encryption_key", "a key of AES has 16, 24 or 32 bytes");
    }
}

/// A file of rules that is set but not there would leave things open that it was to close.
fn rules(reader: &mut Reader<'_>, config: &Config) {
    let policy = &config.oslo_policy.policy_file;
    let usual = policy.is_empty() || *policy == OsloPolicySection::default().policy_file;
    if !usual && config.find_file(policy).is_none() {
        reader.refuse(OsloPolicySection::NAME, "policy_file", format!("Couldn't find policy file {policy}"));
    }
}

/// What another flavor means can only a paste file tell.
fn pipeline(reader: &mut Reader<'_>, config: &Config) {
    let options = &config.paste_deploy;
    if let Some(flavor) = &options.flavor
        && options.config_file.is_none()
        && !FLAVORS.contains(&flavor.as_str())
    {
        let reason = format!("there is no pipeline {flavor}; there are {}, and an empty one", FLAVORS.join(", "));
        reader.refuse(PasteDeploySection::NAME, "flavor", reason);
    }
}

fn import_filters(reader: &mut Reader<'_>, config: &Config) {
    let options = &config.import_filtering_opts;
    let kinds = [
        ("disallowed_hosts", "allowed_hosts", &options.allowed_hosts, &options.disallowed_hosts),
        ("disallowed_ports", "allowed_ports", &options.allowed_ports, &options.disallowed_ports),
        ("disallowed_schemes", "allowed_schemes", &options.allowed_schemes, &options.disallowed_schemes),
    ];
    for (denying, allowing, allowed, denied) in kinds {
        if !allowed.is_empty() && !denied.is_empty() {
            let message = format_args!("is ignored, because {allowing} is not empty");
            reader.warn(ImportFilteringOptsSection::NAME, denying, message);
        }
    }
}

fn unverified_tls(reader: &mut Reader<'_>, config: &Config, kinds: &[&'static StoreKind]) {
    if config.keystone_authtoken.insecure {
        reader.warn(KeystoneAuthtokenSection::NAME, "insecure", UNVERIFIED);
    }
    let single = config.glance_store.stores.iter().filter(|_| config.stores.is_empty());
    let single = single.map(|driver| ("glance_store", driver.as_str(), &config.driver_options));
    let several = config.stores.iter().map(|(id, store)| (id.as_str(), store.driver.as_str(), &store.options));
    for (section, driver, options) in single.chain(several) {
        let kind = kinds.iter().find(|kind| kind.is_called(driver));
        let Some(option) = kind.and_then(|kind| (kind.unverified)(options)) else { continue };
        // In single-store mode such a store may be on by default, and this with it; a line for everyone would be read by none.
        if reader.is_set(section, option) || !config.stores.is_empty() || reader.is_set(section, "stores") {
            reader.warn(section, option, UNVERIFIED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_digits_and_perhaps_a_unit() {
        for text in ["0", "100", "5B", "5KB", "5MB", "5GB", "50TB"] {
            assert!(is_quota(text), "{text}");
        }
        for text in ["", "GB", "5 GB", "5gb", "5K", "-1", "1.5GB", "5PB", "5GB "] {
            assert!(!is_quota(text), "{text}");
        }
    }
}
