//! `[cors]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[cors]`.
    CorsSection = "cors" {
        /// Send Access-Control-Allow-Credentials.
        allow_credentials: bool = true, tier1();
        /// Request headers allowed in a preflight.
        allow_headers: Vec<String> = [
            "Content-MD5", "X-Image-Meta-Checksum", "X-Storage-Token", "Accept-Encoding", "X-Auth-Token",
            "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id", "X-Tenant-Id",
            "X-OpenStack-Request-ID",
        ], tier1();
        /// Methods allowed in a preflight.
        allow_methods: Vec<String> = ["GET", "PUT", "POST", "DELETE", "PATCH"], tier1();
        /// Origins answered with CORS headers (scheme, host, port; * allowed); empty disables CORS answers.
        allowed_origin: Option<Vec<String>> = None, tier1();
        /// Response headers that scripts may read.
        expose_headers: Vec<String> = [
            "X-Image-Meta-Checksum", "X-Auth-Token", "X-Subject-Token", "X-Service-Token", "X-OpenStack-Request-ID",
        ], tier1();
        /// Seconds a preflight may be cached.
        max_age: i64 = 3600, tier1();
    }
}
