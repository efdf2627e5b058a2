//! Images as volumes of Cinder.

use super::super::driver::Driver;
use super::absent;
use crate::config::option::{Options, options, tier2};
use crate::config::{Secret, StoreKind};

pub(in crate::store) const DRIVER: Driver = {
    let driver = absent("cinder", "glance.store.cinder.Store", &["cinder"], CinderOptions::OPTIONS, |options| {
        options.read::<CinderOptions>().cinder_api_insecure.then_some("cinder_api_insecure")
    });
    Driver { kind: StoreKind { sections: &[("os_brick", OsBrickOptions::OPTIONS)], ..driver.kind }, ..driver }
};

options! {
    /// Options of stores of type `cinder`.
    CinderOptions {
        /// Skip Cinder certificate verification.
        cinder_api_insecure: bool = false, tier2().later("stores of type cinder");
        /// Attempts of attach/detach calls.
        cinder_attachment_retry_attempts: i64 = 5, tier2().min(1.0).later("stores of type cinder");
        /// CA bundle for Cinder.
        cinder_ca_certificates_file: Option<String> = None, tier2().file().later("stores of type cinder");
        /// Catalog triple service_type:service_name:interface for Cinder.
        cinder_catalog_info: String = "volumev3::publicURL", tier2().later("stores of type cinder");
        /// Grow volumes online while attached.
        cinder_do_extend_attached: bool = false, tier2().later("stores of type cinder");
        /// Cinder URL template that overrides the catalog.
        cinder_endpoint_template: Option<String> = None, tier2().later("stores of type cinder");
        /// Fail if multipathd is not running.
        cinder_enforce_multipath: bool = false, tier2().later("stores of type cinder");
        /// Retries of failed Cinder calls.
        cinder_http_retries: i64 = 3, tier2().min(0.0).later("stores of type cinder");
        /// Directory for NFS-backed volume mounts.
        cinder_mount_point_base: String = "/var/lib/glance/mnt", tier2().later("stores of type cinder");
        /// Region of Cinder in the catalog.
        cinder_os_region_name: Option<String> = None, tier2().old(&[("", "os_region_name")]).later("stores of type cinder");
        /// Seconds to wait for a volume state change.
        cinder_state_transition_timeout: i64 = 300, tier2().min(0.0).later("stores of type cinder");
        /// Application credential id used instead of a password.
        cinder_store_application_credential_id: Option<String> = None, tier2().later("stores of type cinder");
        /// Secret of that application credential.
        cinder_store_application_credential_secret: Option<Secret> = None, tier2().secret().later("stores of type cinder");
        /// Keystone URL for the service account that owns image volumes.
        cinder_store_auth_address: Option<String> = None, tier2().later("stores of type cinder");
        /// Service account password.
        cinder_store_password: Option<Secret> = None, tier2().secret().later("stores of type cinder");
        /// Domain of that project.
        cinder_store_project_domain_name: String = "Default", tier2().later("stores of type cinder");
        /// Project that owns image volumes.
        cinder_store_project_name: Option<String> = None, tier2().later("stores of type cinder");
        /// Domain of the service account.
        cinder_store_user_domain_name: String = "Default", tier2().later("stores of type cinder");
        /// Service account name.
        cinder_store_user_name: Option<String> = None, tier2().later("stores of type cinder");
        /// Attach volumes through multipath.
        cinder_use_multipath: bool = false, tier2().later("stores of type cinder");
        /// Volume type for image volumes.
        cinder_volume_type: Option<String> = None, tier2().later("stores of type cinder");
        /// rootwrap configuration for privileged volume operations.
        rootwrap_config: String = "/etc/glance/rootwrap.conf", tier2().later("stores of type cinder");
    }
}

options! {
    /// Options of `[os_brick]`, the library that attaches volumes.
    OsBrickOptions {
        /// Lock directory for volume attachment.
        lock_path: Option<String> = None, tier2().later("stores of type cinder");
        /// Polls for a multipath device.
        wait_mpath_device_attempts: i64 = 4, tier2().min(1.0).later("stores of type cinder");
        /// Seconds between those polls.
        wait_mpath_device_interval: i64 = 1, tier2().min(1.0).later("stores of type cinder");
    }
}
