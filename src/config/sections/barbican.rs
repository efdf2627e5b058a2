//! `[barbican]`.

use crate::config::option::{section, tier2, tier3};

/// castellan registers these options and makes a session without them.
const SESSION: &str = "verify_ssl and verify_ssl_path alone say how Barbican is spoken to, as upstream has it";
/// Nothing here makes a key.
const ORDERS: &str = "it is about making keys, which nothing here does";

section! {
    /// Options of `[barbican]`.
    BarbicanSection = "barbican" {
        /// Keystone URL used for key manager access.
        auth_endpoint: String = "http://localhost/identity/v3", tier2().old(&[("key_manager", "auth_url")]).uri();
        /// Key manager API version.
        barbican_api_version: Option<String> = None, tier2();
        /// Key manager URL; discovered from the catalog when empty.
        barbican_endpoint: Option<String> = None, tier2().uri();
        /// Catalog interface for the key manager.
        barbican_endpoint_type: String = "public", tier2().choices(&["public", "internal", "admin"]);
        /// Catalog region for the key manager.
        barbican_region_name: Option<String> = None, tier2();
        /// CA bundle for TLS to the remote service.
        cafile: Option<String> = None, tier2().file().idle(SESSION);
        /// Client certificate for TLS to the remote service.
        certfile: Option<String> = None, tier2().file().idle(SESSION);
        /// Record per-call timing in the HTTP session.
        collect_timing: bool = false, tier3();
        /// Skip verification of the remote certificate.
        insecure: bool = false, tier2().idle(SESSION);
        /// Client key for TLS to the remote service.
        keyfile: Option<String> = None, tier2().file().idle(SESSION);
        /// Polls of a pending secret.
        number_of_retries: i64 = 60, tier2().idle(ORDERS);
        /// Seconds between polls of a pending secret.
        retry_delay: i64 = 1, tier2().idle(ORDERS);
        /// Add a service token to key manager requests.
        send_service_user_token: bool = false, tier2();
        /// Log HTTP wire traffic to several loggers.
        split_loggers: bool = false, tier3();
        /// Seconds that all requests about a key may take together, ten at most.
        timeout: Option<f64> = None, tier2();
        /// OpenSSL cipher string for the HTTP session.
        tls_ciphers: Option<String> = None, tier2().idle(SESSION);
        /// Lowest TLS version for the HTTP session.
        tls_min_version: Option<String> = None, tier2().choices(&["1.2", "1.3"]).idle(SESSION);
        /// Verify the key manager certificate.
        verify_ssl: bool = true, tier2();
        /// CA bundle for the key manager.
        verify_ssl_path: Option<String> = None, tier2().file();
    }
}
