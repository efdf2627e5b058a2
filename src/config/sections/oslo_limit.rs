//! `[oslo_limit]`.

use crate::config::Secret;
use crate::config::option::{section, tier1, tier2, tier3};

/// Why nothing is asked twice.
const ONCE: &str = "what Keystone does not answer is asked again by the next request that needs it";

section! {
    /// Options of `[oslo_limit]`.
    OsloLimitSection = "oslo_limit" {
        /// Application credential id.
        application_credential_id: Option<String> = None, tier1().plugin();
        /// Application credential name, together with the user.
        application_credential_name: Option<String> = None, tier1().plugin();
        /// Application credential secret.
        application_credential_secret: Option<Secret> = None, tier1().secret().plugin();
        /// Other section from which auth options are read.
        auth_section: Option<String> = None, tier1();
        /// Keystone auth plugin name.
        auth_type: Option<String> = None, tier1().old(&[("", "auth_plugin")]).plugin();
        /// Keystone URL.
        auth_url: Option<String> = None, tier1().plugin();
        /// CA bundle for TLS to the remote service.
        cafile: Option<String> = None, tier1().file();
        /// Client certificate for TLS to the remote service.
        certfile: Option<String> = None, tier2().file();
        /// Record per-call timing in the HTTP session.
        collect_timing: bool = false, tier3();
        /// Retries of failed connections.
        connect_retries: Option<i64> = None, tier2().idle(ONCE);
        /// Pause between connection retries.
        connect_retry_delay: Option<f64> = None, tier2().idle(ONCE);
        /// Domain id for user and project when unset.
        default_domain_id: Option<String> = None, tier2().plugin();
        /// Domain name for user and project when unset.
        default_domain_name: Option<String> = None, tier2().plugin();
        /// Domain scope id.
        domain_id: Option<String> = None, tier2().plugin();
        /// Domain scope name.
        domain_name: Option<String> = None, tier2().plugin();
        /// Endpoint id to which the registered limits belong.
        endpoint_id: Option<String> = None, tier1();
        /// Interface used to find the endpoint.
        endpoint_interface: String = "public",
            tier1().choices(&["public", "publicURL", "internal", "internalURL", "admin", "adminURL"]);
        /// URL that bypasses the catalog.
        endpoint_override: Option<String> = None, tier1();
        /// Region used to find the endpoint.
        endpoint_region_name: Option<String> = None, tier1();
        /// Service name used to find the endpoint.
        endpoint_service_name: Option<String> = None, tier1();
        /// Service type used to find the endpoint.
        endpoint_service_type: Option<String> = None, tier1();
        /// Skip verification of the remote certificate.
        insecure: bool = false, tier1();
        /// Client key for TLS to the remote service.
        keyfile: Option<String> = None, tier2().file();
        /// Highest API version wanted.
        max_version: Option<String> = None, tier2();
        /// Lowest API version wanted.
        min_version: Option<String> = None, tier2();
        /// Password.
        password: Option<Secret> = None, tier1().secret().plugin();
        /// Project domain id.
        project_domain_id: Option<String> = None, tier1().plugin();
        /// Project domain name.
        project_domain_name: Option<String> = None, tier1().plugin();
        /// Project scope id.
        project_id: Option<String> = None, tier1().plugin();
        /// Project scope name.
        project_name: Option<String> = None, tier1().plugin();
        /// Catalog region for the adapter.
        region_name: Option<String> = None, tier1();
        /// Status codes that are retried.
        retriable_status_codes: Option<Vec<String>> = None, tier2().integers().idle(ONCE);
        /// Catalog service name for the adapter.
        service_name: Option<String> = None, tier2();
        /// Catalog service type for the adapter.
        service_type: Option<String> = None, tier2();
        /// Log HTTP wire traffic to several loggers.
        split_loggers: bool = false, tier3();
        /// Retries on retriable status codes.
        status_code_retries: Option<i64> = None, tier2().idle(ONCE);
        /// Pause between such retries.
        status_code_retry_delay: Option<f64> = None, tier2().idle(ONCE);
        /// System scope for the token.
        system_scope: Option<String> = None, tier1().plugin();
        /// Old name of the project id.
        tenant_id: Option<String> = None, tier2().plugin();
        /// Old name of the project name.
        tenant_name: Option<String> = None, tier2().plugin();
        /// Request timeout in seconds.
        timeout: Option<f64> = None, tier1();
        /// OpenSSL cipher string for the HTTP session.
        tls_ciphers: Option<String> = None, tier2();
        /// Lowest TLS version for the HTTP session.
        tls_min_version: Option<String> = None, tier2().choices(&["1.2", "1.3"]);
        /// Trust scope.
        trust_id: Option<String> = None, tier2().plugin();
        /// User domain id.
        user_domain_id: Option<String> = None, tier1().plugin();
        /// User domain name.
        user_domain_name: Option<String> = None, tier1().plugin();
        /// User id.
        user_id: Option<String> = None, tier1().plugin();
        /// User name.
        username: Option<String> = None, tier1().old(&[("", "user-name"), ("", "user_name")]).plugin();
        /// Interfaces tried in order.
        valid_interfaces: Option<Vec<String>> = None, tier2();
        /// API version wanted.
        version: Option<String> = None, tier2();
    }
}
