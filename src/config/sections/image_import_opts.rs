//! `[image_import_opts]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[image_import_opts]`.
    ImageImportOptsSection = "image_import_opts" {
        /// Import plugins, in execution order.
        image_import_plugins: Vec<String> = [], tier1().bounded().quoted();
        /// In how many stores at a time an import makes its data durable, in the order in which they are asked for. More than one: places
        /// that are being written have placeholder locations.
        max_parallel_stores: i64 = 1, tier1().min(1.0);
    }
}
