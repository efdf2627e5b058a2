//! `[audit_middleware_notifications]`, for the filter `keystonemiddleware.audit`.

use crate::config::Secret;
use crate::config::option::{section, tier2};

section! {
    /// Options of `[audit_middleware_notifications]`.
    AuditMiddlewareNotificationsSection = "audit_middleware_notifications" {
        /// Notification driver for audit records: messaging, messagingv2, routing, log, test, noop.
        driver: Option<String> = None, tier2();
        /// Topics for audit records.
        topics: Vec<String> = [], tier2();
        /// Bus URL just for audit records.
        transport_url: Option<Secret> = None, tier2().secret();
        /// Send audit records to a message bus.
        use_oslo_messaging: bool = true, tier2();
    }
}
