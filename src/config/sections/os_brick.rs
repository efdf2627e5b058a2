//! `[os_brick]`.

use crate::config::option::{section, tier2};

section! {
    /// Options of `[os_brick]`.
    OsBrickSection = "os_brick" {
        /// Lock directory for volume attachment.
        lock_path: Option<String> = None, tier2().later("stores of type cinder");
        /// Polls for a multipath device.
        wait_mpath_device_attempts: i64 = 4, tier2().min(1.0).later("stores of type cinder");
        /// Seconds between those polls.
        wait_mpath_device_interval: i64 = 1, tier2().min(1.0).later("stores of type cinder");
    }
}
