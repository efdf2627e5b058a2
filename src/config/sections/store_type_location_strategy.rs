//! `[store_type_location_strategy]`.

use crate::config::option::{removed, section};

section! {
    /// Options of `[store_type_location_strategy]`.
    StoreTypeLocationStrategySection = "store_type_location_strategy" {
        /// Found in old configuration files; use store weight.
        store_type_preference: Option<String> = None, removed();
    }
}
