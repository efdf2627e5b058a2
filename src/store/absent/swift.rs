//! Images as objects in Swift.

use super::super::driver::Driver;
use super::absent;
use crate::config::Secret;
use crate::config::option::{Options, options, tier1, tier3};

pub(in crate::store) const DRIVER: Driver = Driver {
    private_schemes: &["swift+config"],
    ..absent(
        "swift",
        "glance.store.swift.Store",
        &["swift", "swift+http", "swift+https", "swift+config"],
        SwiftOptions::OPTIONS,
        |options| options.read::<SwiftOptions>().swift_store_auth_insecure.then_some("swift_store_auth_insecure"),
    )
};

options! {
    /// Options of stores of type `swift`.
    SwiftOptions {
        /// Section of the Swift account file used for new images.
        default_swift_reference: String = "ref1", tier1().later("stores of type swift");
        /// Spool each segment to disk so that it can be retried.
        swift_buffer_on_upload: bool = false, tier1().later("stores of type swift");
        /// Projects given write access in multi-tenant mode.
        swift_store_admin_tenants: Vec<String> = [], tier1().later("stores of type swift");
        /// Application credential id for Swift.
        swift_store_application_credential_id: Option<Secret> = None, tier1().secret().later("stores of type swift");
        /// Secret of that credential.
        swift_store_application_credential_secret: Option<Secret> = None, tier1().secret().later("stores of type swift");
        /// Keystone URL for Swift (use the account file).
        swift_store_auth_address: Option<String> = None, tier1().deprecated().later("stores of type swift");
        /// Skip certificate verification towards Keystone and Swift.
        swift_store_auth_insecure: bool = false, tier1().later("stores of type swift");
        /// Keystone auth version (only 3).
        swift_store_auth_version: String = "3", tier3().deprecated().choices(&["3"]);
        /// CA bundle for Swift.
        swift_store_cacert: Option<String> = None, tier1().file().later("stores of type swift");
        /// INI file of Swift accounts; keeps credentials out of location URLs.
        swift_store_config_file: Option<String> = None, tier1().file().later("stores of type swift");
        /// Container name or prefix.
        swift_store_container: String = "glance", tier1().later("stores of type swift");
        /// Create a missing container.
        swift_store_create_container_on_put: bool = false, tier1().later("stores of type swift");
        /// Storage URL that overrides the catalog.
        swift_store_endpoint: Option<String> = None, tier1().later("stores of type swift");
        /// Catalog interface for Swift.
        swift_store_endpoint_type: String = "publicURL", tier1().choices(&["publicURL", "adminURL", "internalURL"]).later("stores of type swift");
        /// Seconds before expiry at which the token is renewed.
        swift_store_expire_soon_interval: i64 = 60, tier1().min(0.0).later("stores of type swift");
        /// Password for Swift (use the account file).
        swift_store_key: Option<Secret> = None, tier1().deprecated().secret().later("stores of type swift");
        /// MiB per segment.
        swift_store_large_object_chunk_size: i64 = 200, tier1().min(1.0).later("stores of type swift");
        /// MiB from which the object is segmented.
        swift_store_large_object_size: i64 = 5120, tier1().min(1.0).later("stores of type swift");
        /// Store each image in its owner's account.
        swift_store_multi_tenant: bool = false, tier1().later("stores of type swift");
        /// Leading id characters used to spread images over containers; 0 is one container.
        swift_store_multiple_containers_seed: i64 = 0, tier1().min(0.0).max(32.0).later("stores of type swift");
        /// Project id used with an application credential.
        swift_store_project_id: Option<String> = None, tier1().deprecated().later("stores of type swift");
        /// Project name used with an application credential.
        swift_store_project_name: Option<String> = None, tier1().deprecated().later("stores of type swift");
        /// Swift region.
        swift_store_region: Option<String> = None, tier1().later("stores of type swift");
        /// Resumptions of an interrupted download.
        swift_store_retry_get_count: i64 = 0, tier1().min(0.0).later("stores of type swift");
        /// Catalog service type for Swift.
        swift_store_service_type: String = "object-store", tier1().later("stores of type swift");
        /// TLS compression towards Swift.
        swift_store_ssl_compression: bool = true, tier3();
        /// Use a Keystone trust to outlive the user's token during upload.
        swift_store_use_trusts: bool = true, tier1().later("stores of type swift");
        /// tenant:user for Swift (use the account file).
        swift_store_user: Option<Secret> = None, tier1().deprecated().secret().later("stores of type swift");
        /// Directory for spooled segments.
        swift_upload_buffer_dir: Option<String> = None, tier1().later("stores of type swift");
    }
}
