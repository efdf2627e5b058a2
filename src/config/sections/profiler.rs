//! `[profiler]`.

use crate::config::Secret;
use crate::config::option::{section, tier3};

section! {
    /// Options of `[profiler]`.
    ProfilerSection = "profiler" {
        /// Profiler collector.
        connection_string: String = "messaging://", tier3();
        /// Turn osprofiler on.
        enabled: bool = false, tier3().old(&[("", "profiler_enabled")]);
        /// Elasticsearch document type for profiles.
        es_doc_type: String = "notification", tier3();
        /// Elasticsearch scroll page.
        es_scroll_size: i64 = 10_000, tier3();
        /// Elasticsearch scroll lifetime.
        es_scroll_time: String = "2m", tier3();
        /// Put failed traces in a separate place.
        filter_error_trace: bool = false, tier3();
        /// Keys a caller must sign with to get a profile.
        hmac_keys: Secret = "SECRET_KEY", tier3().secret();
        /// Redis sentinel name for profiles.
        sentinel_service_name: String = "mymaster", tier3();
        /// Redis socket timeout for profiles.
        socket_timeout: f64 = 0.1, tier3();
        /// Trace outgoing HTTP in profiles.
        trace_requests: bool = false, tier3();
        /// Trace SQL in profiles.
        trace_sqlalchemy: bool = false, tier3();
    }
}
