//! `[image_import_opts]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[image_import_opts]`.
    ImageImportOptsSection = "image_import_opts" {
        /// Import plugins, in execution order.
        image_import_plugins: Vec<String> = [], tier1().bounded().quoted();
        /// Stores written at the same time by one import.
        max_parallel_stores: i64 = 1, tier1().min(1.0).idle("an import writes to all of its stores at once");
    }
}
