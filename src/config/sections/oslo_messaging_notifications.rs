//! `[oslo_messaging_notifications]`.

use crate::config::Secret;
use crate::config::option::{section, tier1};

section! {
    /// Options of `[oslo_messaging_notifications]`.
    OsloMessagingNotificationsSection = "oslo_messaging_notifications" {
        /// Notification drivers: messaging, messagingv2, routing, log, test, noop; none by default.
        driver: Vec<String> = [], tier1().multi();
        /// Resends of an undelivered notification; -1 is endless.
        retry: i64 = -1, tier1();
        /// Topics that receive notifications.
        topics: Vec<String> = ["notifications"], tier1();
        /// Bus URL just for notifications.
        transport_url: Option<Secret> = None, tier1().secret();
    }
}
