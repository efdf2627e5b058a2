//! `[paste_deploy]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[paste_deploy]`.
    PasteDeploySection = "paste_deploy" {
        /// Paste file; derived from the last configuration file when empty.
        config_file: Option<String> = None, tier1().file();
        /// Pipeline: empty (no authentication) or keystone, either with +caching or +cachemanagement; or those alone.
        flavor: Option<String> = None, tier1();
    }
}
