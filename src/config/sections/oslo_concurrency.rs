//! `[oslo_concurrency]`.

use crate::config::option::{section, tier1, tier3};

section! {
    /// Options of `[oslo_concurrency]`.
    OsloConcurrencySection = "oslo_concurrency" {
        /// Turn off inter-process file locks.
        disable_process_locking: bool = false, tier3();
        /// Directory for inter-process file locks.
        lock_path: Option<String> = None, tier1().idle("this service takes no lock files");
    }
}
