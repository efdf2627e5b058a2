//! `[import_filtering_opts]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[import_filtering_opts]`.
    ImportFilteringOptsSection = "import_filtering_opts" {
        /// Hosts allowed for web-download; wins over the deny list.
        allowed_hosts: Vec<String> = [], tier1().bounded().host();
        /// Ports allowed when the URL names one; wins over the deny list.
        allowed_ports: Vec<String> = ["80", "443"], tier1().bounded().integers().min(1.0).max(65535.0);
        /// URL schemes allowed for web-download; wins over the deny list.
        allowed_schemes: Vec<String> = ["http", "https"], tier1().bounded().quoted();
        /// Refuse private networks unless the host is on allowed_hosts; upstream has no such option.
        disallow_private_addresses: bool = false, tier1();
        /// Hosts denied when no allow list is set.
        disallowed_hosts: Vec<String> = [], tier1().bounded().host();
        /// Ports denied when no allow list is set.
        disallowed_ports: Vec<String> = [], tier1().bounded().integers().min(1.0).max(65535.0);
        /// URL schemes denied when no allow list is set.
        disallowed_schemes: Vec<String> = [], tier1().bounded().quoted();
    }
}
