//! `[glance_store]`, without the options of drivers, which are declared beside them.

use crate::config::option::{removed, section, tier1};

section! {
    /// General options of `[glance_store]`.
    GlanceStoreSection = "glance_store" {
        /// Multi-store mode: store id that receives data when the request names none (required).
        default_backend: Option<String> = None, tier1();
        /// Single-store mode: scheme that receives new data.
        default_store: String = "file", tier1().deprecated();
        /// Found in old configuration files; driver is gone; refuse to start if the store is enabled.
        sheepdog_store_address: Option<String> = None, removed();
        /// Found in old configuration files; driver is gone.
        sheepdog_store_chunk_size: Option<String> = None, removed();
        /// Found in old configuration files; driver is gone.
        sheepdog_store_port: Option<String> = None, removed();
        /// Found in old configuration files; no effect for years.
        store_capabilities_update_min_interval: Option<String> = None, removed();
        /// Single-store mode: drivers to load.
        stores: Vec<String> = ["file", "http"], tier1().deprecated();
    }
}
