//! `[glance_download_properties]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[glance_download_properties]`.
    GlanceDownloadPropertiesSection = "glance_download_properties" {
        /// Prefixes of source properties that glance-download copies to the new image.
        extra_properties: Vec<String> = ["hw_", "trait:", "os_distro", "os_secure_boot", "os_type"],
            tier1().bounded().quoted();
    }
}
