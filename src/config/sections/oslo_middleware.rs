//! `[oslo_middleware]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[oslo_middleware]`.
    OsloMiddlewareSection = "oslo_middleware" {
        /// Trust Forwarded and X-Forwarded-* for scheme, host, port, prefix and client address.
        enable_proxy_headers_parsing: bool = false, tier1();
    }
}
