//! `[oslo_reports]`.

use crate::config::option::{section, tier3};

section! {
    /// Options of `[oslo_reports]`.
    OsloReportsSection = "oslo_reports" {
        /// File whose change triggers a report.
        file_event_handler: Option<String> = None, tier3();
        /// Polling interval for that file.
        file_event_handler_interval: i64 = 1, tier3();
        /// Directory for guru meditation reports.
        log_dir: Option<String> = None, tier3();
    }
}
