//! What a store's own section holds beside the options of its driver (`glance_store/driver.py`).

use crate::config::option::{section, tier1};

section! {
    /// Options of every store of a multi-store configuration.
    StoreCommonSection = "<store id>" {
        /// Text about the store shown by info/stores.
        store_description: Option<String> = None, tier1();
        /// Preference of the store when choosing among locations; higher first.
        weight: i64 = 0, tier1();
    }
}
