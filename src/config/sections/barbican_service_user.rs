//! `[barbican_service_user]`.

use crate::config::option::{section, tier2, tier3};

section! {
    /// Options of `[barbican_service_user]`.
    BarbicanServiceUserSection = "barbican_service_user" {
        /// Other section from which auth options are read.
        auth_section: Option<String> = None, tier2();
        /// Keystone auth plugin name whose own options then apply to this section.
        auth_type: Option<String> = None, tier2().old(&[("", "auth_plugin")]);
        /// CA bundle for TLS to the remote service.
        cafile: Option<String> = None, tier2().file();
        /// Client certificate for TLS to the remote service.
        certfile: Option<String> = None, tier2().file();
        /// Record per-call timing in the HTTP session.
        collect_timing: bool = false, tier3();
        /// Skip verification of the remote certificate.
        insecure: bool = false, tier2();
        /// Client key for TLS to the remote service.
        keyfile: Option<String> = None, tier2().file();
        /// Log HTTP wire traffic to several loggers.
        split_loggers: bool = false, tier3();
        /// Request timeout in seconds.
        timeout: Option<f64> = None, tier2();
        /// OpenSSL cipher string for the HTTP session.
        tls_ciphers: Option<String> = None, tier2();
        /// Lowest TLS version for the HTTP session.
        tls_min_version: Option<String> = None, tier2().choices(&["1.2", "1.3"]);
    }
}
