//! `[healthcheck]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[healthcheck]`.
    HealthcheckSection = "healthcheck" {
        /// Networks that may ask; others get 403.
        allowed_source_ranges: Vec<String> = [], tier1();
        /// Health checks to run: upstream's, and `database`, which asks the database whether it answers.
        backends: Vec<String> = ["disable_by_file"], tier1();
        /// Give reasons and runtime details in the answer (leaks internals).
        detailed: bool = false, tier1();
        /// File whose presence turns the answer into 503 DISABLED BY FILE.
        disable_by_file_path: String = "/etc/glance/healthcheck_disable", tier1();
        /// port:path list of such files, matched on the server port.
        disable_by_file_paths: Vec<String> = [], tier1();
        /// Files that must exist for the service to count as up.
        enable_by_file_paths: Vec<String> = [], tier1();
        /// Refuse requests that carry forwarding headers.
        ignore_proxied_requests: bool = false, tier1();
    }
}
