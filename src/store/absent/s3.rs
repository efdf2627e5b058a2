//! Images as objects in S3.

use super::super::driver::Driver;
use super::absent;
use crate::config::Secret;
use crate::config::option::{Options, options, tier1};

pub(in crate::store) const DRIVER: Driver =
    absent("s3", "glance.store.s3.Store", &["s3", "s3+http", "s3+https"], S3Options::OPTIONS, |_| None);

options! {
    /// Options of stores of type `s3`.
    S3Options {
        /// Access key.
        s3_store_access_key: Option<Secret> = None, tier1().secret().later("stores of type s3");
        /// Bucket for images.
        s3_store_bucket: Option<String> = None, tier1().later("stores of type s3");
        /// Addressing style: auto, virtual or path.
        s3_store_bucket_url_format: String = "auto", tier1().later("stores of type s3");
        /// CA bundle for S3.
        s3_store_cacert: String = "", tier1().file().later("stores of type s3");
        /// Create the bucket on first write.
        s3_store_create_bucket_on_put: bool = false, tier1().later("stores of type s3");
        /// Turn on the SDK's request and response checksums.
        s3_store_enable_data_integrity_protection: bool = false, tier1().later("stores of type s3");
        /// S3 endpoint, with or without scheme; plain means http.
        s3_store_host: Option<String> = None, tier1().later("stores of type s3");
        /// MiB per part, at least 5; grows so that 10000 parts suffice.
        s3_store_large_object_chunk_size: i64 = 10, tier1().later("stores of type s3");
        /// MiB from which multipart upload is used.
        s3_store_large_object_size: i64 = 100, tier1().min(0.0).later("stores of type s3");
        /// S3 region.
        s3_store_region_name: String = "", tier1().later("stores of type s3");
        /// When to add request checksums.
        s3_store_request_checksum_calculation: String = "when_required",
            tier1().choices(&["when_required", "when_supported"]).later("stores of type s3");
        /// When to verify response checksums.
        s3_store_response_checksum_validation: String = "when_required",
            tier1().choices(&["when_required", "when_supported"]).later("stores of type s3");
        /// Secret key.
        s3_store_secret_key: Option<Secret> = None, tier1().secret().later("stores of type s3");
        /// Parts uploaded in parallel.
        s3_store_thread_pools: i64 = 10, tier1().later("stores of type s3");
    }
}
