//! `[inject_metadata_properties]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[inject_metadata_properties]`.
    InjectMetadataPropertiesSection = "inject_metadata_properties" {
        /// Callers with one of these roles get no injected metadata.
        ignore_user_roles: Vec<String> = ["admin"], tier1();
        /// Key/value pairs added to images during import.
        inject: Vec<(String, String)> = [], tier1();
    }
}
