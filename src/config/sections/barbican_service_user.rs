//! `[barbican_service_user]`.

use crate::config::Secret;
use crate::config::option::{section, tier2, tier3};

/// castellan logs in through the session that it has for Barbican.
const SESSION: &str = "the login is made as [barbican] verify_ssl and verify_ssl_path say, as upstream has it";

section! {
    /// Options of `[barbican_service_user]`.
    BarbicanServiceUserSection = "barbican_service_user" {
        /// Application credential id.
        application_credential_id: Option<String> = None, tier2().plugin();
        /// Application credential name, together with the user.
        application_credential_name: Option<String> = None, tier2().plugin();
        /// Application credential secret.
        application_credential_secret: Option<Secret> = None, tier2().secret().plugin();
        /// Other section from which auth options are read.
        auth_section: Option<String> = None, tier2();
        /// Keystone auth plugin name whose own options then apply to this section.
        auth_type: Option<String> = None, tier2().old(&[("", "auth_plugin")]).plugin();
        /// Keystone URL.
        auth_url: Option<String> = None, tier2().plugin();
        /// CA bundle for TLS to the remote service.
        cafile: Option<String> = None, tier2().file().idle(SESSION);
        /// Client certificate for TLS to the remote service.
        certfile: Option<String> = None, tier2().file().idle(SESSION);
        /// Record per-call timing in the HTTP session.
        collect_timing: bool = false, tier3();
        /// Domain id for user and project when unset.
        default_domain_id: Option<String> = None, tier2().plugin();
        /// Domain name for user and project when unset.
        default_domain_name: Option<String> = None, tier2().plugin();
        /// Domain scope id.
        domain_id: Option<String> = None, tier2().plugin();
        /// Domain scope name.
        domain_name: Option<String> = None, tier2().plugin();
        /// Skip verification of the remote certificate.
        insecure: bool = false, tier2().idle(SESSION);
        /// Client key for TLS to the remote service.
        keyfile: Option<String> = None, tier2().file().idle(SESSION);
        /// Password.
        password: Option<Secret> = None, tier2().secret().plugin();
        /// Project domain id.
        project_domain_id: Option<String> = None, tier2().plugin();
        /// Project domain name.
        project_domain_name: Option<String> = None, tier2().plugin();
        /// Project scope id.
        project_id: Option<String> = None, tier2().old(&[("", "tenant-id"), ("", "tenant_id")]).plugin();
        /// Project scope name.
        project_name: Option<String> = None, tier2().old(&[("", "tenant-name"), ("", "tenant_name")]).plugin();
        /// Log HTTP wire traffic to several loggers.
        split_loggers: bool = false, tier3();
        /// System scope for the token.
        system_scope: Option<String> = None, tier2().plugin();
        /// Request timeout in seconds.
        timeout: Option<f64> = None, tier2().idle("[barbican] timeout is that of the login as well");
        /// OpenSSL cipher string for the HTTP session.
        tls_ciphers: Option<String> = None, tier2().idle(SESSION);
        /// Lowest TLS version for the HTTP session.
        tls_min_version: Option<String> = None, tier2().choices(&["1.2", "1.3"]).idle(SESSION);
        /// Trust scope.
        trust_id: Option<String> = None, tier2().plugin();
        /// User domain id.
        user_domain_id: Option<String> = None, tier2().plugin();
        /// User domain name.
        user_domain_name: Option<String> = None, tier2().plugin();
        /// User id.
        user_id: Option<String> = None, tier2().plugin();
        /// User name.
        username: Option<String> = None, tier2().old(&[("", "user-name"), ("", "user_name")]).plugin();
    }
}
