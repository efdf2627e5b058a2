//! `[glance_store]`.

use crate::config::Secret;
use crate::config::option::{removed, section, tier1, tier2, tier3};

section! {
    /// Options of `[glance_store]`.
    GlanceStoreSection = "glance_store" {
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
        /// Multi-store mode: store id that receives data when the request names none (required).
        default_backend: Option<String> = None, tier1();
        /// Single-store mode: scheme that receives new data.
        default_store: String = "file",
            tier1()
                .deprecated()
                .choices(&[
                    "file", "filesystem", "http", "https", "swift", "swift+http", "swift+https", "swift+config", "rbd",
                    "cinder", "vsphere", "s3",
                ]);
        /// Section of the Swift account file used for new images.
        default_swift_reference: String = "ref1", tier1().later("stores of type swift");
        /// Read and write block size in bytes.
        filesystem_store_chunk_size: i64 = 65_536, tier1().min(1.0);
        /// Directory for image files.
        filesystem_store_datadir: String = "/var/lib/glance/images", tier1();
        /// Several directories, each path:priority; mutually exclusive with the single directory.
        filesystem_store_datadirs: Vec<String> = [], tier1().deprecated().multi();
        /// Octal mode written in decimal notation for new files; 0 keeps the umask.
        filesystem_store_file_perm: i64 = 0, tier1();
        /// JSON file with mount point ids copied into location metadata.
        filesystem_store_metadata_file: Option<String> = None, tier1().file();
        /// Threads for those guarded calls.
        filesystem_store_thread_pool_size: i64 = 10, tier1().min(1.0);
        /// Pool usage in percent that logs a warning.
        filesystem_store_threadpool_threshold: i64 = 75, tier1().min(0.0).max(100.0);
        /// Seconds before a blocking stat/unlink/statvfs call is abandoned; 0 is off.
        filesystem_store_timeout: i64 = 0, tier1().min(0.0);
        /// Leave holes for all-zero blocks.
        filesystem_thin_provisioning: bool = false, tier1();
        /// Proxy per scheme for the HTTP store.
        http_proxy_information: Vec<(String, String)> = [], tier1().urls();
        /// CA bundle for the read-only HTTP store.
        https_ca_certificates_file: Option<String> = None, tier1().file();
        /// Do not verify HTTPS in the HTTP store (insecure by default; ignored when a CA file is set).
        https_insecure: bool = true, tier1();
        /// Seconds for mon, osd and mount timeouts; negative leaves the library defaults.
        rados_connect_timeout: i64 = -1, tier1();
        /// Path of ceph.conf; empty means the library's search path.
        rbd_store_ceph_conf: String = "", tier1().file();
        /// RBD object and I/O size in MiB; must be a power of two.
        rbd_store_chunk_size: i64 = 8, tier1().min(1.0);
        /// Ceph pool.
        rbd_store_pool: String = "images", tier1();
        /// Ceph user.
        rbd_store_user: Option<String> = None, tier1();
        /// Skip writing all-zero chunks.
        rbd_thin_provisioning: bool = false, tier1();
        /// rootwrap configuration for privileged volume operations.
        rootwrap_config: String = "/etc/glance/rootwrap.conf", tier2();
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
        /// Found in old configuration files; driver is gone; refuse to start if the store is enabled.
        sheepdog_store_address: Option<String> = None, removed();
        /// Found in old configuration files; driver is gone.
        sheepdog_store_chunk_size: Option<String> = None, removed();
        /// Found in old configuration files; driver is gone.
        sheepdog_store_port: Option<String> = None, removed();
        /// Found in old configuration files; no effect for years.
        store_capabilities_update_min_interval: Option<String> = None, removed();
        /// Single-store mode: drivers to load.
        stores: Vec<String> = ["file", "http"], tier1().deprecated();
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
        /// Retries of vSphere calls.
        vmware_api_retry_count: i64 = 10, tier3().min(1.0);
        /// CA bundle for vSphere.
        vmware_ca_file: Option<String> = None, tier3().file();
        /// datacenter:datastore:weight entries.
        vmware_datastores: Vec<String> = [], tier3().multi();
        /// Skip vSphere certificate verification.
        vmware_insecure: bool = false, tier3().old(&[("", "vmware_api_insecure")]);
        /// vCenter or ESXi host, optionally with port.
        vmware_server_host: Option<String> = None, tier3().host();
        /// vSphere password.
        vmware_server_password: Option<Secret> = None, tier3().secret();
        /// vSphere user.
        vmware_server_username: Option<String> = None, tier3();
        /// Datastore folder for images.
        vmware_store_image_dir: String = "/openstack_glance", tier3();
        /// Seconds between polls of a vSphere task.
        vmware_task_poll_interval: i64 = 5, tier3().min(1.0);
    }
}
