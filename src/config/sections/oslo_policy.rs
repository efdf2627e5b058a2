//! `[oslo_policy]`.

use crate::config::option::{removed, section, tier1, tier2};

section! {
    /// Options of `[oslo_policy]`.
    OsloPolicySection = "oslo_policy" {
        /// Use only the new secure-RBAC defaults; false ORs in the old rules and re-enables the in-code owner checks.
        enforce_new_defaults: bool = true, tier1();
        /// Found in old configuration files; always on in the current policy library.
        enforce_scope: Option<String> = None, removed();
        /// Rule used for unknown names.
        policy_default_rule: String = "default", tier1();
        /// Directories of further policy files.
        policy_dirs: Vec<String> = ["policy.d"], tier1().multi();
        /// Policy override file, relative to the configuration directory; may be absent.
        policy_file: String = "policy.yaml", tier1().file();
        /// Content type for http(s): policy checks.
        remote_content_type: String = "application/x-www-form-urlencoded",
            tier2().choices(&["application/x-www-form-urlencoded", "application/json"]);
        /// CA for https: checks.
        remote_ssl_ca_crt_file: Option<String> = None, tier2().file();
        /// Client certificate for https: checks.
        remote_ssl_client_crt_file: Option<String> = None, tier2().file();
        /// Client key for https: checks.
        remote_ssl_client_key_file: Option<String> = None, tier2().file();
        /// Verify the server of https: checks.
        remote_ssl_verify_server_crt: bool = false, tier2();
        /// Timeout of remote policy checks.
        remote_timeout: f64 = 60.0, tier2().min(0.0);
    }
}
