//! Typed option sections, one struct for each, with upstream's names and defaults.

use super::Secret;

/// Options of `[DEFAULT]`.
#[derive(Clone, Debug)]
pub struct DefaultSection {
    /// Found in old configuration files; use the context_is_admin rule.
    pub admin_role: Option<String>,
    /// Found in old configuration files; always true.
    pub allow_additional_image_properties: Option<String>,
    /// Let requests without a valid token act as a read-only, role-less user (needs the context filter).
    pub allow_anonymous_access: bool,
    /// Upper bound silently applied to any requested page size.
    pub api_limit_max: i64,
    /// Listen backlog.
    pub backlog: i64,
    /// Address to listen on.
    pub bind_host: String,
    /// Port to listen on (9292).
    pub bind_port: u16,
    /// CA that client certificates must chain to; setting it makes client certificates mandatory.
    pub ca_file: Option<String>,
    /// Server certificate; together with key_file turns TLS on.
    pub cert_file: Option<String>,
    /// Bytes per transfer block (-c).
    pub chunksize: i64,
    /// Idle seconds before a client connection is closed; 0 waits for ever.
    pub client_socket_timeout: i64,
    /// AMQP exchange for notifications.
    pub control_exchange: String,
    /// Run the scrubber as a daemon (-D).
    pub daemon: bool,
    /// Found in old configuration files; registry is gone.
    pub data_api: Option<String>,
    /// Log at DEBUG instead of INFO.
    pub debug: bool,
    /// Per-logger level overrides as name=LEVEL.
    pub default_log_levels: Vec<String>,
    /// Publisher id stamped on notifications.
    pub default_publisher_id: String,
    /// Mark images pending_delete and leave data to the scrubber.
    pub delayed_delete: bool,
    /// Digest once used to check the TLS key/certificate pair; has no effect upstream.
    pub digest_algorithm: String,
    /// Event types or groups that are not emitted.
    pub disabled_notifications: Vec<String>,
    /// Compute checksum and multihash in the background for images registered through POST locations.
    pub do_secure_hash: bool,
    /// Fields left out of a copy (-D).
    pub dontreplicate: String,
    /// Found in old configuration files; always on.
    pub enable_image_import: Option<String>,
    /// Found in old configuration files; v1 is gone.
    pub enable_v1_api: Option<String>,
    /// Found in old configuration files; registry is gone.
    pub enable_v1_registry: Option<String>,
    /// Found in old configuration files; always on.
    pub enable_v2_api: Option<String>,
    /// Found in old configuration files; registry is gone.
    pub enable_v2_registry: Option<String>,
    /// Multi-store map of store id to driver type; setting it switches the whole service to multi-store mode.
    pub enabled_backends: Option<Vec<(String, String)>>,
    /// Import methods offered (bracketed, quoted list syntax allowed).
    pub enabled_import_methods: Vec<String>,
    /// Found in old configuration files; use oslo_policy enforce_new_defaults.
    pub enforce_secure_rbac: Option<String>,
    /// Thread pool of the messaging library for consumers; unused by a notifier.
    pub executor_thread_pool_size: i64,
    /// Turn deprecation messages into errors.
    pub fatal_deprecations: bool,
    /// hashlib name used for os_hash_algo/os_hash_value of new data.
    pub hashing_algorithm: String,
    /// Keep connections open between requests.
    pub http_keepalive: bool,
    /// Attempts for the background hash calculation of a registered location.
    pub http_retries: i64,
    /// Cache root; setting it enables the cache API and microversions 2.14, 2.16 and 2.18.
    pub image_cache_dir: Option<String>,
    /// Where cache bookkeeping lives: shared database, local SQLite or file attributes.
    pub image_cache_driver: String,
    /// Byte threshold above which a prune removes least recently used entries.
    pub image_cache_max_size: i64,
    /// File name of the per-node SQLite cache index (old driver; also the source of the one-off migration).
    pub image_cache_sqlite_db: String,
    /// Seconds after which a half-written cache file counts as stalled.
    pub image_cache_stall_time: i64,
    /// Locations allowed per image; negative means no limit.
    pub image_location_quota: i64,
    /// Members allowed per image; negative means no limit.
    pub image_member_quota: i64,
    /// Custom properties allowed per image (os_glance* not counted); negative means no limit.
    pub image_property_quota: i64,
    /// Largest image in bytes that may be written or recorded.
    pub image_size_cap: i64,
    /// Tags allowed per image; negative means no limit.
    pub image_tag_quota: i64,
    /// Prefix for records tied to an instance object.
    pub instance_format: String,
    /// Prefix for records tied to an instance id.
    pub instance_uuid_format: String,
    /// Server private key.
    pub key_file: Option<String>,
    /// Page size when the caller gives no limit.
    pub limit_param_default: i64,
    /// Found in old configuration files; use store weight.
    pub location_strategy: Option<String>,
    /// Colour logs on a terminal.
    pub log_color: bool,
    /// Python logging configuration file that replaces all other log options.
    pub log_config_append: Option<String>,
    /// strftime pattern for log timestamps.
    pub log_date_format: String,
    /// Directory for log files.
    pub log_dir: Option<String>,
    /// Log file name (relative to log-dir).
    pub log_file: Option<String>,
    /// Amount of time between log rotations.
    pub log_rotate_interval: i64,
    /// Unit of the rotation interval.
    pub log_rotate_interval_type: String,
    /// Rotation by interval, size or none.
    pub log_rotation_type: String,
    /// Line format for records that carry a request context.
    pub logging_context_format_string: String,
    /// Extra text appended at DEBUG.
    pub logging_debug_format_suffix: String,
    /// Line format for records without a context.
    pub logging_default_format_string: String,
    /// Prefix for each traceback line.
    pub logging_exception_prefix: String,
    /// How user, project and domain are rendered in the line.
    pub logging_user_identity_format: String,
    /// Longest header line.
    pub max_header_line: i64,
    /// Rotated log files kept.
    pub max_logfile_count: i64,
    /// Size that triggers size-based rotation.
    pub max_logfile_size_mb: i64,
    /// Longest caller-supplied X-OpenStack-Request-ID accepted; 0 disables the check.
    pub max_request_id_length: i64,
    /// AES key with which location URLs are encrypted in the database.
    pub metadata_encryption_key: Option<Secret>,
    /// Directory of metadef JSON files for load and export.
    pub metadata_source_path: String,
    /// Copy metadata only (-m).
    pub metaonly: bool,
    /// file:// directory for staged and downloaded import data in single-store mode.
    pub node_staging_uri: String,
    /// Found in old configuration files; only True is possible; refuse to start on False.
    pub owner_is_tenant: Option<String>,
    /// INI file of per-property CRUD rules; the service refuses to start if it is unusable.
    pub property_protection_file: Option<String>,
    /// Whether the rule file names roles or policies.
    pub property_protection_rule_format: String,
    /// Base URL used in the versions document and as the fall-back identity of this worker for proxying.
    pub public_endpoint: Option<String>,
    /// Publish error logs as notifications.
    pub publish_errors: bool,
    /// Host of a Python remote debugger (left over; meaningless outside Python).
    pub pydev_worker_debug_host: Option<String>,
    /// Port of a Python remote debugger.
    pub pydev_worker_debug_port: u16,
    /// Records allowed per window.
    pub rate_limit_burst: i64,
    /// Level at and above which rate limiting does not apply.
    pub rate_limit_except_level: String,
    /// Window in seconds for log rate limiting; 0 is off.
    pub rate_limit_interval: i64,
    /// Found in old configuration files; registry is gone.
    pub registry_host: Option<String>,
    /// Found in old configuration files; registry is gone.
    pub registry_port: Option<String>,
    /// Image id to bring back from pending_delete to active.
    pub restore: Option<String>,
    /// Answer oslo.messaging pings; unused.
    pub rpc_ping_enabled: bool,
    /// RPC reply timeout; unused (notifications only).
    pub rpc_response_timeout: i64,
    /// Images scrubbed in parallel.
    pub scrub_pool_size: i64,
    /// Seconds a pending_delete image must wait before the scrubber may erase it.
    pub scrub_time: i64,
    /// Found in old configuration files; use enable_proxy_headers_parsing.
    pub secure_proxy_ssl_header: Option<String>,
    /// Expose the best location as direct_url in image bodies.
    pub show_image_direct_url: bool,
    /// Expose locations in image bodies and unlock the PATCH locations operations.
    pub show_multiple_locations: bool,
    /// Token for the source.
    pub sourcetoken: String,
    /// Syslog facility.
    pub syslog_log_facility: String,
    /// Token for the target.
    pub targettoken: String,
    /// Idle seconds before TCP keepalive probes.
    pub tcp_keepidle: i64,
    /// Token for both sides (-t).
    pub token: String,
    /// Message bus URL.
    pub transport_url: Secret,
    /// Send logs to journald with structured fields.
    pub use_journal: bool,
    /// Emit log records as JSON.
    pub use_json: bool,
    /// Enforce the four registered limits held in Keystone instead of the static quota.
    pub use_keystone_limits: bool,
    /// Also log to standard error.
    pub use_stderr: bool,
    /// Send logs to syslog.
    pub use_syslog: bool,
    /// Found in old configuration files; registry is gone.
    pub use_user_token: Option<String>,
    /// Legacy per-project byte quota over all stores (number plus optional B/KB/MB/GB/TB, units are powers of 1024); 0 is off.
    pub user_storage_quota: String,
    /// Pause in seconds between scrubber rounds in daemon mode.
    pub wakeup_time: i64,
    /// URL at which peers reach this very worker; used for import/delete proxying and as cache node identity.
    pub worker_self_reference_url: Option<String>,
    /// Worker processes; 0 serves in the parent.
    pub workers: Option<i64>,
}

impl Default for DefaultSection {
    fn default() -> Self {
        Self {
            admin_role: None,
            allow_additional_image_properties: None,
            allow_anonymous_access: false,
            api_limit_max: 1000,
            backlog: 4096,
            bind_host: "0.0.0.0".to_owned(),
            bind_port: 9292,
            ca_file: None,
            cert_file: None,
            chunksize: 65536,
            client_socket_timeout: 900,
            control_exchange: "glance".to_owned(),
            daemon: false,
            data_api: None,
            debug: false,
            default_log_levels: vec!["amqp=WARN".to_owned(), "boto=WARN".to_owned(), "sqlalchemy=WARN".to_owned(), "suds=INFO".to_owned(), "oslo.messaging=INFO".to_owned(), "oslo_messaging=INFO".to_owned(), "iso8601=WARN".to_owned(), "requests.packages.urllib3.connectionpool=WARN".to_owned(), "urllib3.connectionpool=WARN".to_owned(), "websocket=WARN".to_owned(), "requests.packages.urllib3.util.retry=WARN".to_owned(), "urllib3.util.retry=WARN".to_owned(), "keystonemiddleware=WARN".to_owned(), "routes.middleware=WARN".to_owned(), "stevedore=WARN".to_owned(), "taskflow=WARN".to_owned(), "keystoneauth=WARN".to_owned(), "oslo.cache=INFO".to_owned(), "oslo_policy=INFO".to_owned(), "dogpile.core.dogpile=INFO".to_owned()],
            default_publisher_id: "image.localhost".to_owned(),
            delayed_delete: false,
            digest_algorithm: "sha256".to_owned(),
            disabled_notifications: Vec::new(),
            do_secure_hash: true,
            dontreplicate: "created_at date deleted_at location updated_at".to_owned(),
            enable_image_import: None,
            enable_v1_api: None,
            enable_v1_registry: None,
            enable_v2_api: None,
            enable_v2_registry: None,
            enabled_backends: None,
            enabled_import_methods: vec!["glance-direct".to_owned(), "web-download".to_owned(), "copy-image".to_owned()],
            enforce_secure_rbac: None,
            executor_thread_pool_size: 64,
            fatal_deprecations: false,
            hashing_algorithm: "sha512".to_owned(),
            http_keepalive: true,
            http_retries: 3,
            image_cache_dir: None,
            image_cache_driver: "centralized_db".to_owned(),
            image_cache_max_size: 10737418240,
            image_cache_sqlite_db: "cache.db".to_owned(),
            image_cache_stall_time: 86400,
            image_location_quota: 10,
            image_member_quota: 128,
            image_property_quota: 128,
            image_size_cap: 1099511627776,
            image_tag_quota: 128,
            instance_format: "[instance: %(uuid)s] ".to_owned(),
            instance_uuid_format: "[instance: %(uuid)s] ".to_owned(),
            key_file: None,
            limit_param_default: 25,
            location_strategy: None,
            log_color: false,
            log_config_append: None,
            log_date_format: "%Y-%m-%d %H:%M:%S".to_owned(),
            log_dir: None,
            log_file: None,
            log_rotate_interval: 1,
            log_rotate_interval_type: "days".to_owned(),
            log_rotation_type: "none".to_owned(),
            logging_context_format_string: "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [%(global_request_id)s %(request_id)s %(user_identity)s] %(instance)s%(message)s".to_owned(),
            logging_debug_format_suffix: "%(funcName)s %(pathname)s:%(lineno)d".to_owned(),
            logging_default_format_string: "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(instance)s%(message)s".to_owned(),
            logging_exception_prefix: "%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s %(instance)s".to_owned(),
            logging_user_identity_format: "%(user)s %(project)s %(domain)s %(system_scope)s %(user_domain)s %(project_domain)s".to_owned(),
            max_header_line: 16384,
            max_logfile_count: 30,
            max_logfile_size_mb: 200,
            max_request_id_length: 64,
            metadata_encryption_key: None,
            metadata_source_path: "/etc/glance/metadefs/".to_owned(),
            metaonly: false,
            node_staging_uri: "file:///tmp/staging/".to_owned(),
            owner_is_tenant: None,
            property_protection_file: None,
            property_protection_rule_format: "roles".to_owned(),
            public_endpoint: None,
            publish_errors: false,
            pydev_worker_debug_host: None,
            pydev_worker_debug_port: 5678,
            rate_limit_burst: 0,
            rate_limit_except_level: "CRITICAL".to_owned(),
            rate_limit_interval: 0,
            registry_host: None,
            registry_port: None,
            restore: None,
            rpc_ping_enabled: false,
            rpc_response_timeout: 60,
            scrub_pool_size: 1,
            scrub_time: 0,
            secure_proxy_ssl_header: None,
            show_image_direct_url: false,
            show_multiple_locations: false,
            sourcetoken: String::new(),
            syslog_log_facility: "LOG_USER".to_owned(),
            targettoken: String::new(),
            tcp_keepidle: 600,
            token: String::new(),
            transport_url: Secret::from("rabbit://"),
            use_journal: false,
            use_json: false,
            use_keystone_limits: false,
            use_stderr: false,
            use_syslog: false,
            use_user_token: None,
            user_storage_quota: "0".to_owned(),
            wakeup_time: 300,
            worker_self_reference_url: None,
            workers: None,
        }
    }
}

/// Options of `[barbican]`.
#[derive(Clone, Debug)]
pub struct BarbicanSection {
    /// Keystone URL used for key manager access.
    pub auth_endpoint: String,
    /// Key manager API version.
    pub barbican_api_version: Option<String>,
    /// Key manager URL; discovered from the catalog when empty.
    pub barbican_endpoint: Option<String>,
    /// Catalog interface for the key manager.
    pub barbican_endpoint_type: String,
    /// Catalog region for the key manager.
    pub barbican_region_name: Option<String>,
    /// CA bundle for TLS to the remote service.
    pub cafile: Option<String>,
    /// Client certificate for TLS to the remote service.
    pub certfile: Option<String>,
    /// Record per-call timing in the HTTP session.
    pub collect_timing: bool,
    /// Skip verification of the remote certificate.
    pub insecure: bool,
    /// Client key for TLS to the remote service.
    pub keyfile: Option<String>,
    /// Polls of a pending secret.
    pub number_of_retries: i64,
    /// Seconds between polls of a pending secret.
    pub retry_delay: i64,
    /// Add a service token to key manager requests.
    pub send_service_user_token: bool,
    /// Log HTTP wire traffic to several loggers.
    pub split_loggers: bool,
    /// Request timeout in seconds.
    pub timeout: Option<f64>,
    /// OpenSSL cipher string for the HTTP session.
    pub tls_ciphers: Option<String>,
    /// Lowest TLS version for the HTTP session.
    pub tls_min_version: Option<String>,
    /// Verify the key manager certificate.
    pub verify_ssl: bool,
    /// CA bundle for the key manager.
    pub verify_ssl_path: Option<String>,
}

impl Default for BarbicanSection {
    fn default() -> Self {
        Self {
            auth_endpoint: "http://localhost/identity/v3".to_owned(),
            barbican_api_version: None,
            barbican_endpoint: None,
            barbican_endpoint_type: "public".to_owned(),
            barbican_region_name: None,
            cafile: None,
            certfile: None,
            collect_timing: false,
            insecure: false,
            keyfile: None,
            number_of_retries: 60,
            retry_delay: 1,
            send_service_user_token: false,
            split_loggers: false,
            timeout: None,
            tls_ciphers: None,
            tls_min_version: None,
            verify_ssl: true,
            verify_ssl_path: None,
        }
    }
}

/// Options of `[barbican_service_user]`.
#[derive(Clone, Debug)]
pub struct BarbicanServiceUserSection {
    /// Other section from which auth options are read.
    pub auth_section: Option<String>,
    /// Keystone auth plugin name whose own options then apply to this section.
    pub auth_type: Option<String>,
    /// CA bundle for TLS to the remote service.
    pub cafile: Option<String>,
    /// Client certificate for TLS to the remote service.
    pub certfile: Option<String>,
    /// Record per-call timing in the HTTP session.
    pub collect_timing: bool,
    /// Skip verification of the remote certificate.
    pub insecure: bool,
    /// Client key for TLS to the remote service.
    pub keyfile: Option<String>,
    /// Log HTTP wire traffic to several loggers.
    pub split_loggers: bool,
    /// Request timeout in seconds.
    pub timeout: Option<f64>,
    /// OpenSSL cipher string for the HTTP session.
    pub tls_ciphers: Option<String>,
    /// Lowest TLS version for the HTTP session.
    pub tls_min_version: Option<String>,
}

impl Default for BarbicanServiceUserSection {
    fn default() -> Self {
        Self {
            auth_section: None,
            auth_type: None,
            cafile: None,
            certfile: None,
            collect_timing: false,
            insecure: false,
            keyfile: None,
            split_loggers: false,
            timeout: None,
            tls_ciphers: None,
            tls_min_version: None,
        }
    }
}

/// Options of `[cors]`.
#[derive(Clone, Debug)]
pub struct CorsSection {
    /// Send Access-Control-Allow-Credentials.
    pub allow_credentials: bool,
    /// Request headers allowed in a preflight.
    pub allow_headers: Vec<String>,
    /// Methods allowed in a preflight.
    pub allow_methods: Vec<String>,
    /// Origins answered with CORS headers (scheme, host, port; * allowed); empty disables CORS answers.
    pub allowed_origin: Option<Vec<String>>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// Seconds a preflight may be cached.
    pub max_age: i64,
}

impl Default for CorsSection {
    fn default() -> Self {
        Self {
            allow_credentials: true,
            allow_headers: vec![
                "Content-MD5".to_owned(),
                "X-Image-Meta-Checksum".to_owned(),
                "X-Storage-Token".to_owned(),
                "Accept-Encoding".to_owned(),
                "X-Auth-Token".to_owned(),
                "X-Identity-Status".to_owned(),
                "X-Roles".to_owned(),
                "X-Service-Catalog".to_owned(),
                "X-User-Id".to_owned(),
                "X-Tenant-Id".to_owned(),
                "X-OpenStack-Request-ID".to_owned(),
            ],
            allow_methods: vec![
                "GET".to_owned(),
                "PUT".to_owned(),
                "POST".to_owned(),
                "DELETE".to_owned(),
                "PATCH".to_owned(),
            ],
            allowed_origin: None,
            expose_headers: vec![
                "X-Image-Meta-Checksum".to_owned(),
                "X-Auth-Token".to_owned(),
                "X-Subject-Token".to_owned(),
                "X-Service-Token".to_owned(),
                "X-OpenStack-Request-ID".to_owned(),
            ],
            max_age: 3600,
        }
    }
}

/// Options of `[database]`.
#[derive(Clone, Debug)]
pub struct DatabaseSection {
    /// URL for the asyncio engine; unused by Glance.
    pub asyncio_connection: Option<Secret>,
    /// Read replica URL for the asyncio engine; unused by Glance.
    pub asyncio_slave_connection: Option<Secret>,
    /// Database layer name; only sqlalchemy.
    pub backend: String,
    /// SQLAlchemy URL of the database.
    pub connection: Option<Secret>,
    /// SQL log verbosity, 0 to 100.
    pub connection_debug: i64,
    /// Extra URL parameters appended to the connection.
    pub connection_parameters: String,
    /// Seconds after which a pooled connection is replaced.
    pub connection_recycle_time: i64,
    /// Add caller information to SQL as comments.
    pub connection_trace: bool,
    /// Grow that pause on each retry.
    pub db_inc_retry_interval: bool,
    /// Operation retries before giving up.
    pub db_max_retries: i64,
    /// Largest pause between retries.
    pub db_max_retry_interval: i64,
    /// First pause between operation retries.
    pub db_retry_interval: i64,
    /// Connections allowed above the pool size.
    pub max_overflow: i64,
    /// Connections kept in the pool; 0 means unlimited.
    pub max_pool_size: i64,
    /// Connection attempts at start; -1 is endless.
    pub max_retries: i64,
    /// sql_mode set on each MySQL session; empty leaves the server default.
    pub mysql_sql_mode: String,
    /// Galera wsrep_sync_wait set on each session.
    pub mysql_wsrep_sync_wait: Option<i64>,
    /// Seconds to wait for a pooled connection.
    pub pool_timeout: Option<i64>,
    /// Seconds between those attempts.
    pub retry_interval: i64,
    /// URL of a read replica.
    pub slave_connection: Option<Secret>,
    /// SQLite synchronous pragma on.
    pub sqlite_synchronous: bool,
    /// Make the replica wait for causal consistency where supported.
    pub synchronous_reader: bool,
    /// Retry operations after a lost connection.
    pub use_db_reconnect: bool,
}

impl Default for DatabaseSection {
    fn default() -> Self {
        Self {
            asyncio_connection: None,
            asyncio_slave_connection: None,
            backend: "sqlalchemy".to_owned(),
            connection: None,
            connection_debug: 0,
            connection_parameters: String::new(),
            connection_recycle_time: 3600,
            connection_trace: false,
            db_inc_retry_interval: true,
            db_max_retries: 20,
            db_max_retry_interval: 10,
            db_retry_interval: 1,
            max_overflow: 50,
            max_pool_size: 5,
            max_retries: 10,
            mysql_sql_mode: "TRADITIONAL".to_owned(),
            mysql_wsrep_sync_wait: None,
            pool_timeout: None,
            retry_interval: 10,
            slave_connection: None,
            sqlite_synchronous: true,
            synchronous_reader: true,
            use_db_reconnect: false,
        }
    }
}

/// Options of `[glance_download_properties]`.
#[derive(Clone, Debug)]
pub struct GlanceDownloadPropertiesSection {
    /// Prefixes of source properties that glance-download copies to the new image.
    pub extra_properties: Vec<String>,
}

impl Default for GlanceDownloadPropertiesSection {
    fn default() -> Self {
        Self {
            extra_properties: vec![
                "hw_".to_owned(),
                "trait:".to_owned(),
                "os_distro".to_owned(),
                "os_secure_boot".to_owned(),
                "os_type".to_owned(),
            ],
        }
    }
}

/// Options of `[glance_store]`.
#[derive(Clone, Debug)]
pub struct GlanceStoreSection {
    /// Skip Cinder certificate verification.
    pub cinder_api_insecure: bool,
    /// Attempts of attach/detach calls.
    pub cinder_attachment_retry_attempts: i64,
    /// CA bundle for Cinder.
    pub cinder_ca_certificates_file: Option<String>,
    /// Catalog triple service_type:service_name:interface for Cinder.
    pub cinder_catalog_info: String,
    /// Grow volumes online while attached.
    pub cinder_do_extend_attached: bool,
    /// Cinder URL template that overrides the catalog.
    pub cinder_endpoint_template: Option<String>,
    /// Fail if multipathd is not running.
    pub cinder_enforce_multipath: bool,
    /// Retries of failed Cinder calls.
    pub cinder_http_retries: i64,
    /// Directory for NFS-backed volume mounts.
    pub cinder_mount_point_base: String,
    /// Region of Cinder in the catalog.
    pub cinder_os_region_name: Option<String>,
    /// Seconds to wait for a volume state change.
    pub cinder_state_transition_timeout: i64,
    /// Application credential id used instead of a password.
    pub cinder_store_application_credential_id: Option<String>,
    /// Secret of that application credential.
    pub cinder_store_application_credential_secret: Option<Secret>,
    /// Keystone URL for the service account that owns image volumes.
    pub cinder_store_auth_address: Option<String>,
    /// Service account password.
    pub cinder_store_password: Option<Secret>,
    /// Domain of that project.
    pub cinder_store_project_domain_name: String,
    /// Project that owns image volumes.
    pub cinder_store_project_name: Option<String>,
    /// Domain of the service account.
    pub cinder_store_user_domain_name: String,
    /// Service account name.
    pub cinder_store_user_name: Option<String>,
    /// Attach volumes through multipath.
    pub cinder_use_multipath: bool,
    /// Volume type for image volumes.
    pub cinder_volume_type: Option<String>,
    /// Multi-store mode: store id that receives data when the request names none (required).
    pub default_backend: Option<String>,
    /// Single-store mode: scheme that receives new data.
    pub default_store: String,
    /// Section of the Swift account file used for new images.
    pub default_swift_reference: String,
    /// Read and write block size in bytes.
    pub filesystem_store_chunk_size: i64,
    /// Directory for image files.
    pub filesystem_store_datadir: String,
    /// Several directories, each path:priority; mutually exclusive with the single directory.
    pub filesystem_store_datadirs: Vec<String>,
    /// Octal mode written in decimal notation for new files; 0 keeps the umask.
    pub filesystem_store_file_perm: i64,
    /// JSON file with mount point ids copied into location metadata.
    pub filesystem_store_metadata_file: Option<String>,
    /// Threads for those guarded calls.
    pub filesystem_store_thread_pool_size: i64,
    /// Pool usage in percent that logs a warning.
    pub filesystem_store_threadpool_threshold: i64,
    /// Seconds before a blocking stat/unlink/statvfs call is abandoned; 0 is off.
    pub filesystem_store_timeout: i64,
    /// Leave holes for all-zero blocks.
    pub filesystem_thin_provisioning: bool,
    /// Proxy per scheme for the HTTP store.
    pub http_proxy_information: Vec<(String, String)>,
    /// CA bundle for the read-only HTTP store.
    pub https_ca_certificates_file: Option<String>,
    /// Do not verify HTTPS in the HTTP store (insecure by default; ignored when a CA file is set).
    pub https_insecure: bool,
    /// Seconds for mon, osd and mount timeouts; negative leaves the library defaults.
    pub rados_connect_timeout: i64,
    /// Path of ceph.conf; empty means the library's search path.
    pub rbd_store_ceph_conf: String,
    /// RBD object and I/O size in MiB; must be a power of two.
    pub rbd_store_chunk_size: i64,
    /// Ceph pool.
    pub rbd_store_pool: String,
    /// Ceph user.
    pub rbd_store_user: Option<String>,
    /// Skip writing all-zero chunks.
    pub rbd_thin_provisioning: bool,
    /// rootwrap configuration for privileged volume operations.
    pub rootwrap_config: String,
    /// Access key.
    pub s3_store_access_key: Option<Secret>,
    /// Bucket for images.
    pub s3_store_bucket: Option<String>,
    /// Addressing style: auto, virtual or path.
    pub s3_store_bucket_url_format: String,
    /// CA bundle for S3.
    pub s3_store_cacert: String,
    /// Create the bucket on first write.
    pub s3_store_create_bucket_on_put: bool,
    /// Turn on the SDK's request and response checksums.
    pub s3_store_enable_data_integrity_protection: bool,
    /// S3 endpoint, with or without scheme; plain means http.
    pub s3_store_host: Option<String>,
    /// MiB per part, at least 5; grows so that 10000 parts suffice.
    pub s3_store_large_object_chunk_size: i64,
    /// MiB from which multipart upload is used.
    pub s3_store_large_object_size: i64,
    /// S3 region.
    pub s3_store_region_name: String,
    /// When to add request checksums.
    pub s3_store_request_checksum_calculation: String,
    /// When to verify response checksums.
    pub s3_store_response_checksum_validation: String,
    /// Secret key.
    pub s3_store_secret_key: Option<Secret>,
    /// Parts uploaded in parallel.
    pub s3_store_thread_pools: i64,
    /// Found in old configuration files; driver is gone; refuse to start if the store is enabled.
    pub sheepdog_store_address: Option<String>,
    /// Found in old configuration files; driver is gone.
    pub sheepdog_store_chunk_size: Option<String>,
    /// Found in old configuration files; driver is gone.
    pub sheepdog_store_port: Option<String>,
    /// Found in old configuration files; no effect for years.
    pub store_capabilities_update_min_interval: Option<String>,
    /// Single-store mode: drivers to load.
    pub stores: Vec<String>,
    /// Spool each segment to disk so that it can be retried.
    pub swift_buffer_on_upload: bool,
    /// Projects given write access in multi-tenant mode.
    pub swift_store_admin_tenants: Vec<String>,
    /// Application credential id for Swift.
    pub swift_store_application_credential_id: Option<Secret>,
    /// Secret of that credential.
    pub swift_store_application_credential_secret: Option<Secret>,
    /// Keystone URL for Swift (use the account file).
    pub swift_store_auth_address: Option<String>,
    /// Skip certificate verification towards Keystone and Swift.
    pub swift_store_auth_insecure: bool,
    /// Keystone auth version (only 3).
    pub swift_store_auth_version: String,
    /// CA bundle for Swift.
    pub swift_store_cacert: Option<String>,
    /// INI file of Swift accounts; keeps credentials out of location URLs.
    pub swift_store_config_file: Option<String>,
    /// Container name or prefix.
    pub swift_store_container: String,
    /// Create a missing container.
    pub swift_store_create_container_on_put: bool,
    /// Storage URL that overrides the catalog.
    pub swift_store_endpoint: Option<String>,
    /// Catalog interface for Swift.
    pub swift_store_endpoint_type: String,
    /// Seconds before expiry at which the token is renewed.
    pub swift_store_expire_soon_interval: i64,
    /// Password for Swift (use the account file).
    pub swift_store_key: Option<Secret>,
    /// MiB per segment.
    pub swift_store_large_object_chunk_size: i64,
    /// MiB from which the object is segmented.
    pub swift_store_large_object_size: i64,
    /// Store each image in its owner's account.
    pub swift_store_multi_tenant: bool,
    /// Leading id characters used to spread images over containers; 0 is one container.
    pub swift_store_multiple_containers_seed: i64,
    /// Project id used with an application credential.
    pub swift_store_project_id: Option<String>,
    /// Project name used with an application credential.
    pub swift_store_project_name: Option<String>,
    /// Swift region.
    pub swift_store_region: Option<String>,
    /// Resumptions of an interrupted download.
    pub swift_store_retry_get_count: i64,
    /// Catalog service type for Swift.
    pub swift_store_service_type: String,
    /// TLS compression towards Swift.
    pub swift_store_ssl_compression: bool,
    /// Use a Keystone trust to outlive the user's token during upload.
    pub swift_store_use_trusts: bool,
    /// tenant:user for Swift (use the account file).
    pub swift_store_user: Option<Secret>,
    /// Directory for spooled segments.
    pub swift_upload_buffer_dir: Option<String>,
    /// Retries of vSphere calls.
    pub vmware_api_retry_count: i64,
    /// CA bundle for vSphere.
    pub vmware_ca_file: Option<String>,
    /// datacenter:datastore:weight entries.
    pub vmware_datastores: Vec<String>,
    /// Skip vSphere certificate verification.
    pub vmware_insecure: bool,
    /// vCenter or ESXi host, optionally with port.
    pub vmware_server_host: Option<String>,
    /// vSphere password.
    pub vmware_server_password: Option<Secret>,
    /// vSphere user.
    pub vmware_server_username: Option<String>,
    /// Datastore folder for images.
    pub vmware_store_image_dir: String,
    /// Seconds between polls of a vSphere task.
    pub vmware_task_poll_interval: i64,
}

impl Default for GlanceStoreSection {
    fn default() -> Self {
        Self {
            cinder_api_insecure: false,
            cinder_attachment_retry_attempts: 5,
            cinder_ca_certificates_file: None,
            cinder_catalog_info: "volumev3::publicURL".to_owned(),
            cinder_do_extend_attached: false,
            cinder_endpoint_template: None,
            cinder_enforce_multipath: false,
            cinder_http_retries: 3,
            cinder_mount_point_base: "/var/lib/glance/mnt".to_owned(),
            cinder_os_region_name: None,
            cinder_state_transition_timeout: 300,
            cinder_store_application_credential_id: None,
            cinder_store_application_credential_secret: None,
            cinder_store_auth_address: None,
            cinder_store_password: None,
            cinder_store_project_domain_name: "Default".to_owned(),
            cinder_store_project_name: None,
            cinder_store_user_domain_name: "Default".to_owned(),
            cinder_store_user_name: None,
            cinder_use_multipath: false,
            cinder_volume_type: None,
            default_backend: None,
            default_store: "file".to_owned(),
            default_swift_reference: "ref1".to_owned(),
            filesystem_store_chunk_size: 65536,
            filesystem_store_datadir: "/var/lib/glance/images".to_owned(),
            filesystem_store_datadirs: Vec::new(),
            filesystem_store_file_perm: 0,
            filesystem_store_metadata_file: None,
            filesystem_store_thread_pool_size: 10,
            filesystem_store_threadpool_threshold: 75,
            filesystem_store_timeout: 0,
            filesystem_thin_provisioning: false,
            http_proxy_information: Vec::new(),
            https_ca_certificates_file: None,
            https_insecure: true,
            rados_connect_timeout: -1,
            rbd_store_ceph_conf: String::new(),
            rbd_store_chunk_size: 8,
            rbd_store_pool: "images".to_owned(),
            rbd_store_user: None,
            rbd_thin_provisioning: false,
            rootwrap_config: "/etc/glance/rootwrap.conf".to_owned(),
            s3_store_access_key: None,
            s3_store_bucket: None,
            s3_store_bucket_url_format: "auto".to_owned(),
            s3_store_cacert: String::new(),
            s3_store_create_bucket_on_put: false,
            s3_store_enable_data_integrity_protection: false,
            s3_store_host: None,
            s3_store_large_object_chunk_size: 10,
            s3_store_large_object_size: 100,
            s3_store_region_name: String::new(),
            s3_store_request_checksum_calculation: "when_required".to_owned(),
            s3_store_response_checksum_validation: "when_required".to_owned(),
            s3_store_secret_key: None,
            s3_store_thread_pools: 10,
            sheepdog_store_address: None,
            sheepdog_store_chunk_size: None,
            sheepdog_store_port: None,
            store_capabilities_update_min_interval: None,
            stores: vec!["file".to_owned(), "http".to_owned()],
            swift_buffer_on_upload: false,
            swift_store_admin_tenants: Vec::new(),
            swift_store_application_credential_id: None,
            swift_store_application_credential_secret: None,
            swift_store_auth_address: None,
            swift_store_auth_insecure: false,
            swift_store_auth_version: "3".to_owned(),
            swift_store_cacert: None,
            swift_store_config_file: None,
            swift_store_container: "glance".to_owned(),
            swift_store_create_container_on_put: false,
            swift_store_endpoint: None,
            swift_store_endpoint_type: "publicURL".to_owned(),
            swift_store_expire_soon_interval: 60,
            swift_store_key: None,
            swift_store_large_object_chunk_size: 200,
            swift_store_large_object_size: 5120,
            swift_store_multi_tenant: false,
            swift_store_multiple_containers_seed: 0,
            swift_store_project_id: None,
            swift_store_project_name: None,
            swift_store_region: None,
            swift_store_retry_get_count: 0,
            swift_store_service_type: "object-store".to_owned(),
            swift_store_ssl_compression: true,
            swift_store_use_trusts: true,
            swift_store_user: None,
            swift_upload_buffer_dir: None,
            vmware_api_retry_count: 10,
            vmware_ca_file: None,
            vmware_datastores: Vec::new(),
            vmware_insecure: false,
            vmware_server_host: None,
            vmware_server_password: None,
            vmware_server_username: None,
            vmware_store_image_dir: "/openstack_glance".to_owned(),
            vmware_task_poll_interval: 5,
        }
    }
}

/// Options of `[healthcheck]`.
#[derive(Clone, Debug)]
pub struct HealthcheckSection {
    /// Networks that may ask; others get 403.
    pub allowed_source_ranges: Vec<String>,
    /// Health checks to run.
    pub backends: Vec<String>,
    /// Give reasons and runtime details in the answer (leaks internals).
    pub detailed: bool,
    /// File whose presence turns the answer into 503 DISABLED BY FILE.
    pub disable_by_file_path: String,
    /// port:path list of such files, matched on the server port.
    pub disable_by_file_paths: Vec<String>,
    /// Files that must exist for the service to count as up.
    pub enable_by_file_paths: Vec<String>,
    /// Refuse requests that carry forwarding headers.
    pub ignore_proxied_requests: bool,
}

impl Default for HealthcheckSection {
    fn default() -> Self {
        Self {
            allowed_source_ranges: Vec::new(),
            backends: vec!["disable_by_file".to_owned()],
            detailed: false,
            disable_by_file_path: "/etc/glance/healthcheck_disable".to_owned(),
            disable_by_file_paths: Vec::new(),
            enable_by_file_paths: Vec::new(),
            ignore_proxied_requests: false,
        }
    }
}

/// Options of `[image_conversion]`.
#[derive(Clone, Debug)]
pub struct ImageConversionSection {
    /// Target format of the conversion plugin.
    pub output_format: String,
}

impl Default for ImageConversionSection {
    fn default() -> Self {
        Self { output_format: "raw".to_owned() }
    }
}

/// Options of `[image_format]`.
#[derive(Clone, Debug)]
pub struct ImageFormatSection {
    /// Accepted container_format values.
    pub container_formats: Vec<String>,
    /// Accepted disk_format values.
    pub disk_formats: Vec<String>,
    /// Names of GPT/MBR safety checks that only warn.
    pub gpt_safety_checks_nonfatal: Vec<String>,
    /// Reject data whose detected format contradicts disk_format.
    pub require_image_format_match: bool,
    /// VMDK createType values the conversion plugin accepts; empty accepts none.
    pub vmdk_allowed_types: Vec<String>,
}

impl Default for ImageFormatSection {
    fn default() -> Self {
        Self {
            container_formats: vec![
                "ami".to_owned(),
                "ari".to_owned(),
                "aki".to_owned(),
                "bare".to_owned(),
                "ovf".to_owned(),
                "ova".to_owned(),
                "docker".to_owned(),
                "compressed".to_owned(),
            ],
            disk_formats: vec![
                "ami".to_owned(),
                "ari".to_owned(),
                "aki".to_owned(),
                "vhd".to_owned(),
                "vhdx".to_owned(),
                "vmdk".to_owned(),
                "raw".to_owned(),
                "qcow2".to_owned(),
                "vdi".to_owned(),
                "iso".to_owned(),
                "ploop".to_owned(),
            ],
            gpt_safety_checks_nonfatal: Vec::new(),
            require_image_format_match: true,
            vmdk_allowed_types: vec!["streamOptimized".to_owned(), "monolithicSparse".to_owned()],
        }
    }
}

/// Options of `[image_import_opts]`.
#[derive(Clone, Debug)]
pub struct ImageImportOptsSection {
    /// Import plugins, in execution order.
    pub image_import_plugins: Vec<String>,
    /// Stores written at the same time by one import.
    pub max_parallel_stores: i64,
}

impl Default for ImageImportOptsSection {
    fn default() -> Self {
        Self { image_import_plugins: Vec::new(), max_parallel_stores: 1 }
    }
}

/// Options of `[import_filtering_opts]`.
#[derive(Clone, Debug)]
pub struct ImportFilteringOptsSection {
    /// Hosts allowed for web-download; wins over the deny list.
    pub allowed_hosts: Vec<String>,
    /// Ports allowed when the URL names one; wins over the deny list.
    pub allowed_ports: Vec<String>,
    /// URL schemes allowed for web-download; wins over the deny list.
    pub allowed_schemes: Vec<String>,
    /// Hosts denied when no allow list is set.
    pub disallowed_hosts: Vec<String>,
    /// Ports denied when no allow list is set.
    pub disallowed_ports: Vec<String>,
    /// URL schemes denied when no allow list is set.
    pub disallowed_schemes: Vec<String>,
}

impl Default for ImportFilteringOptsSection {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_ports: vec!["80".to_owned(), "443".to_owned()],
            allowed_schemes: vec!["http".to_owned(), "https".to_owned()],
            disallowed_hosts: Vec::new(),
            disallowed_ports: Vec::new(),
            disallowed_schemes: Vec::new(),
        }
    }
}

/// Options of `[inject_metadata_properties]`.
#[derive(Clone, Debug)]
pub struct InjectMetadataPropertiesSection {
    /// Callers with one of these roles get no injected metadata.
    pub ignore_user_roles: Vec<String>,
    /// Key/value pairs added to images during import.
    pub inject: Vec<(String, String)>,
}

impl Default for InjectMetadataPropertiesSection {
    fn default() -> Self {
        Self { ignore_user_roles: vec!["admin".to_owned()], inject: Vec::new() }
    }
}

/// Options of `[key_manager]`.
#[derive(Clone, Debug)]
pub struct KeyManagerSection {
    /// Kind of key manager credential.
    pub auth_type: Option<String>,
    /// Keystone URL for keystone credentials.
    pub auth_url: Option<String>,
    /// castellan key manager: barbican, vault or a class.
    pub backend: String,
    /// Domain scope id.
    pub domain_id: Option<String>,
    /// Domain scope name.
    pub domain_name: Option<String>,
    /// Password for password credentials.
    pub password: Option<Secret>,
    /// Project domain id.
    pub project_domain_id: Option<String>,
    /// Project domain name.
    pub project_domain_name: Option<String>,
    /// Project scope id.
    pub project_id: Option<String>,
    /// Project scope name.
    pub project_name: Option<String>,
    /// Fetch a new token when it expires.
    pub reauthenticate: bool,
    /// Token for the token credential kinds.
    pub token: Option<Secret>,
    /// Trust scope.
    pub trust_id: Option<String>,
    /// User domain id.
    pub user_domain_id: Option<String>,
    /// User domain name.
    pub user_domain_name: Option<String>,
    /// User id.
    pub user_id: Option<String>,
    /// User name for password credentials.
    pub username: Option<String>,
}

impl Default for KeyManagerSection {
    fn default() -> Self {
        Self {
            auth_type: None,
            auth_url: None,
            backend: "barbican".to_owned(),
            domain_id: None,
            domain_name: None,
            password: None,
            project_domain_id: None,
            project_domain_name: None,
            project_id: None,
            project_name: None,
            reauthenticate: true,
            token: None,
            trust_id: None,
            user_domain_id: None,
            user_domain_name: None,
            user_id: None,
            username: None,
        }
    }
}

/// Options of `[keystone_authtoken]`.
#[derive(Clone, Debug)]
pub struct KeystoneAuthtokenSection {
    /// Application credential id.
    pub application_credential_id: Option<String>,
    /// Application credential secret.
    pub application_credential_secret: Option<String>,
    /// Other section from which auth options are read.
    pub auth_section: Option<String>,
    /// Keystone auth plugin name whose own options then apply to this section.
    pub auth_type: Option<String>,
    /// Found in old configuration files; use www_authenticate_uri.
    pub auth_uri: Option<String>,
    /// Keystone URL of the service account (also the target of worker-to-worker proxying).
    pub auth_url: Option<String>,
    /// Identity API version; discovered when empty.
    pub auth_version: Option<String>,
    /// WSGI environ key of a shared cache object.
    pub cache: Option<String>,
    /// CA bundle for TLS to the remote service.
    pub cafile: Option<String>,
    /// Client certificate for TLS to the remote service.
    pub certfile: Option<String>,
    /// Let unauthenticated requests through with X-Identity-Status Invalid (the shipped pipeline sets true).
    pub delay_auth_decision: bool,
    /// Legacy token bind check level.
    pub enforce_token_bind: String,
    /// Connect timeout to Keystone.
    pub http_connect_timeout: Option<i64>,
    /// Retries towards Keystone.
    pub http_request_max_retries: i64,
    /// Found in old configuration files; use auth_url.
    pub identity_uri: Option<String>,
    /// Ask for and forward the service catalog.
    pub include_service_catalog: bool,
    /// Skip verification of the remote certificate.
    pub insecure: bool,
    /// Catalog interface for Keystone calls.
    pub interface: String,
    /// Client key for TLS to the remote service.
    pub keyfile: Option<String>,
    /// SASL password.
    pub memcache_password: Option<Secret>,
    /// Wait for a pooled memcached connection.
    pub memcache_pool_conn_get_timeout: i64,
    /// Seconds a dead memcached is left alone.
    pub memcache_pool_dead_retry: i64,
    /// memcached connections in the pool.
    pub memcache_pool_maxsize: i64,
    /// memcached socket timeout.
    pub memcache_pool_socket_timeout: i64,
    /// Seconds an idle memcached connection is kept.
    pub memcache_pool_unused_timeout: i64,
    /// SASL to memcached.
    pub memcache_sasl_enabled: bool,
    /// Key for that protection.
    pub memcache_secret_key: Option<Secret>,
    /// None, MAC or ENCRYPT for cached tokens.
    pub memcache_security_strategy: String,
    /// Ciphers for memcached.
    pub memcache_tls_allowed_ciphers: Option<String>,
    /// CA for memcached.
    pub memcache_tls_cafile: Option<String>,
    /// Client certificate for memcached.
    pub memcache_tls_certfile: Option<String>,
    /// TLS to memcached.
    pub memcache_tls_enabled: bool,
    /// Client key for memcached.
    pub memcache_tls_keyfile: Option<String>,
    /// Use the threaded memcached pool.
    pub memcache_use_advanced_pool: bool,
    /// SASL user.
    pub memcache_username: Option<String>,
    /// memcached list for the token cache; empty uses an in-process cache.
    pub memcached_servers: Option<Vec<String>>,
    /// Service account password.
    pub password: Option<String>,
    /// Domain id of that project.
    pub project_domain_id: Option<String>,
    /// Domain of that project.
    pub project_domain_name: Option<String>,
    /// Project of the service account.
    pub project_name: Option<String>,
    /// Keystone region.
    pub region_name: Option<String>,
    /// Roles that make a service token valid.
    pub service_token_roles: Vec<String>,
    /// Insist on one of those roles.
    pub service_token_roles_required: bool,
    /// Service type used for access rules of application credentials.
    pub service_type: Option<String>,
    /// System scope.
    pub system_scope: Option<String>,
    /// Timeout of Keystone calls made when refreshing a token through a trust.
    pub timeout: Option<i64>,
    /// Seconds a validated token is cached; -1 turns caching off.
    pub token_cache_time: i64,
    /// Domain id of the service account.
    pub user_domain_id: Option<String>,
    /// Domain of the service account.
    pub user_domain_name: Option<String>,
    /// Service account name.
    pub username: Option<String>,
    /// Keystone URL put in the WWW-Authenticate header of a 401.
    pub www_authenticate_uri: Option<String>,
}

impl Default for KeystoneAuthtokenSection {
    fn default() -> Self {
        Self {
            application_credential_id: None,
            application_credential_secret: None,
            auth_section: None,
            auth_type: None,
            auth_uri: None,
            auth_url: None,
            auth_version: None,
            cache: None,
            cafile: None,
            certfile: None,
            delay_auth_decision: true,
            enforce_token_bind: "permissive".to_owned(),
            http_connect_timeout: None,
            http_request_max_retries: 3,
            identity_uri: None,
            include_service_catalog: true,
            insecure: false,
            interface: "internal".to_owned(),
            keyfile: None,
            memcache_password: None,
            memcache_pool_conn_get_timeout: 10,
            memcache_pool_dead_retry: 300,
            memcache_pool_maxsize: 10,
            memcache_pool_socket_timeout: 3,
            memcache_pool_unused_timeout: 60,
            memcache_sasl_enabled: false,
            memcache_secret_key: None,
            memcache_security_strategy: "None".to_owned(),
            memcache_tls_allowed_ciphers: None,
            memcache_tls_cafile: None,
            memcache_tls_certfile: None,
            memcache_tls_enabled: false,
            memcache_tls_keyfile: None,
            memcache_use_advanced_pool: true,
            memcache_username: None,
            memcached_servers: None,
            password: None,
            project_domain_id: None,
            project_domain_name: None,
            project_name: None,
            region_name: None,
            service_token_roles: vec!["service".to_owned()],
            service_token_roles_required: true,
            service_type: None,
            system_scope: None,
            timeout: None,
            token_cache_time: 300,
            user_domain_id: None,
            user_domain_name: None,
            username: None,
            www_authenticate_uri: None,
        }
    }
}

/// Options of `[os_brick]`.
#[derive(Clone, Debug)]
pub struct OsBrickSection {
    /// Lock directory for volume attachment.
    pub lock_path: Option<String>,
    /// Polls for a multipath device.
    pub wait_mpath_device_attempts: i64,
    /// Seconds between those polls.
    pub wait_mpath_device_interval: i64,
}

impl Default for OsBrickSection {
    fn default() -> Self {
        Self { lock_path: None, wait_mpath_device_attempts: 4, wait_mpath_device_interval: 1 }
    }
}

/// Options of `[oslo_concurrency]`.
#[derive(Clone, Debug)]
pub struct OsloConcurrencySection {
    /// Turn off inter-process file locks.
    pub disable_process_locking: bool,
    /// Directory for inter-process file locks.
    pub lock_path: Option<String>,
}

impl Default for OsloConcurrencySection {
    fn default() -> Self {
        Self { disable_process_locking: false, lock_path: None }
    }
}

/// Options of `[oslo_limit]`.
#[derive(Clone, Debug)]
pub struct OsloLimitSection {
    /// Keystone URL.
    pub auth_url: Option<String>,
    /// CA bundle for TLS to the remote service.
    pub cafile: Option<String>,
    /// Client certificate for TLS to the remote service.
    pub certfile: Option<String>,
    /// Record per-call timing in the HTTP session.
    pub collect_timing: bool,
    /// Retries of failed connections.
    pub connect_retries: Option<i64>,
    /// Pause between connection retries.
    pub connect_retry_delay: Option<f64>,
    /// Domain id for user and project when unset.
    pub default_domain_id: Option<String>,
    /// Domain name for user and project when unset.
    pub default_domain_name: Option<String>,
    /// Domain scope id.
    pub domain_id: Option<String>,
    /// Domain scope name.
    pub domain_name: Option<String>,
    /// Endpoint id to which the registered limits belong.
    pub endpoint_id: Option<String>,
    /// Interface used to find the endpoint.
    pub endpoint_interface: String,
    /// URL that bypasses the catalog.
    pub endpoint_override: Option<String>,
    /// Region used to find the endpoint.
    pub endpoint_region_name: Option<String>,
    /// Service name used to find the endpoint.
    pub endpoint_service_name: Option<String>,
    /// Service type used to find the endpoint.
    pub endpoint_service_type: Option<String>,
    /// Skip verification of the remote certificate.
    pub insecure: bool,
    /// Client key for TLS to the remote service.
    pub keyfile: Option<String>,
    /// Highest API version wanted.
    pub max_version: Option<String>,
    /// Lowest API version wanted.
    pub min_version: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Project domain id.
    pub project_domain_id: Option<String>,
    /// Project domain name.
    pub project_domain_name: Option<String>,
    /// Project scope id.
    pub project_id: Option<String>,
    /// Project scope name.
    pub project_name: Option<String>,
    /// Catalog region for the adapter.
    pub region_name: Option<String>,
    /// Status codes that are retried.
    pub retriable_status_codes: Option<Vec<String>>,
    /// Catalog service name for the adapter.
    pub service_name: Option<String>,
    /// Catalog service type for the adapter.
    pub service_type: Option<String>,
    /// Log HTTP wire traffic to several loggers.
    pub split_loggers: bool,
    /// Retries on retriable status codes.
    pub status_code_retries: Option<i64>,
    /// Pause between such retries.
    pub status_code_retry_delay: Option<f64>,
    /// System scope for the token.
    pub system_scope: Option<String>,
    /// Old name of the project id.
    pub tenant_id: Option<String>,
    /// Old name of the project name.
    pub tenant_name: Option<String>,
    /// Request timeout in seconds.
    pub timeout: Option<f64>,
    /// OpenSSL cipher string for the HTTP session.
    pub tls_ciphers: Option<String>,
    /// Lowest TLS version for the HTTP session.
    pub tls_min_version: Option<String>,
    /// Trust scope.
    pub trust_id: Option<String>,
    /// User domain id.
    pub user_domain_id: Option<String>,
    /// User domain name.
    pub user_domain_name: Option<String>,
    /// User id.
    pub user_id: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Interfaces tried in order.
    pub valid_interfaces: Option<Vec<String>>,
    /// API version wanted.
    pub version: Option<String>,
}

impl Default for OsloLimitSection {
    fn default() -> Self {
        Self {
            auth_url: None,
            cafile: None,
            certfile: None,
            collect_timing: false,
            connect_retries: None,
            connect_retry_delay: None,
            default_domain_id: None,
            default_domain_name: None,
            domain_id: None,
            domain_name: None,
            endpoint_id: None,
            endpoint_interface: "public".to_owned(),
            endpoint_override: None,
            endpoint_region_name: None,
            endpoint_service_name: None,
            endpoint_service_type: None,
            insecure: false,
            keyfile: None,
            max_version: None,
            min_version: None,
            password: None,
            project_domain_id: None,
            project_domain_name: None,
            project_id: None,
            project_name: None,
            region_name: None,
            retriable_status_codes: None,
            service_name: None,
            service_type: None,
            split_loggers: false,
            status_code_retries: None,
            status_code_retry_delay: None,
            system_scope: None,
            tenant_id: None,
            tenant_name: None,
            timeout: None,
            tls_ciphers: None,
            tls_min_version: None,
            trust_id: None,
            user_domain_id: None,
            user_domain_name: None,
            user_id: None,
            username: None,
            valid_interfaces: None,
            version: None,
        }
    }
}

/// Options of `[oslo_messaging_kafka]`.
#[derive(Clone, Debug)]
pub struct OsloMessagingKafkaSection {
    /// Producer compression.
    pub compression_codec: String,
    /// Consumer group; unused by a notifier.
    pub consumer_group: String,
    /// Consumer auto commit; unused by a notifier.
    pub enable_auto_commit: bool,
    /// Consumer poll timeout; unused by a notifier.
    pub kafka_consumer_timeout: f64,
    /// Consumer fetch size; unused by a notifier.
    pub kafka_max_fetch_bytes: i64,
    /// Consumer poll size; unused by a notifier.
    pub max_poll_records: i64,
    /// Producer batch size.
    pub producer_batch_size: i64,
    /// Producer batching delay.
    pub producer_batch_timeout: f64,
    /// Kafka SASL mechanism.
    pub sasl_mechanism: String,
    /// Kafka transport security.
    pub security_protocol: String,
    /// Kafka CA file.
    pub ssl_cafile: String,
    /// Kafka client certificate.
    pub ssl_client_cert_file: String,
    /// Kafka client key.
    pub ssl_client_key_file: String,
    /// Password of that key.
    pub ssl_client_key_password: String,
}

impl Default for OsloMessagingKafkaSection {
    fn default() -> Self {
        Self {
            compression_codec: "none".to_owned(),
            consumer_group: "oslo_messaging_consumer".to_owned(),
            enable_auto_commit: false,
            kafka_consumer_timeout: 1.0,
            kafka_max_fetch_bytes: 1048576,
            max_poll_records: 500,
            producer_batch_size: 16384,
            producer_batch_timeout: 0.0,
            sasl_mechanism: "PLAIN".to_owned(),
            security_protocol: "PLAINTEXT".to_owned(),
            ssl_cafile: String::new(),
            ssl_client_cert_file: String::new(),
            ssl_client_key_file: String::new(),
            ssl_client_key_password: String::new(),
        }
    }
}

/// Options of `[oslo_messaging_notifications]`.
#[derive(Clone, Debug)]
pub struct OsloMessagingNotificationsSection {
    /// Notification drivers: messaging, messagingv2, routing, log, test, noop; none by default.
    pub driver: Vec<String>,
    /// Resends of an undelivered notification; -1 is endless.
    pub retry: i64,
    /// Topics that receive notifications.
    pub topics: Vec<String>,
    /// Bus URL just for notifications.
    pub transport_url: Option<Secret>,
}

impl Default for OsloMessagingNotificationsSection {
    fn default() -> Self {
        Self { driver: Vec::new(), retry: -1, topics: vec!["notifications".to_owned()], transport_url: None }
    }
}

/// Options of `[oslo_messaging_rabbit]`.
#[derive(Clone, Debug)]
pub struct OsloMessagingRabbitSection {
    /// Declare auto-delete queues.
    pub amqp_auto_delete: bool,
    /// Declare durable queues.
    pub amqp_durable_queues: bool,
    /// Connections kept open.
    pub conn_pool_min_size: i64,
    /// Idle seconds before a connection is closed.
    pub conn_pool_ttl: i64,
    /// Mandatory flag for direct replies; unused.
    pub direct_mandatory_flag: bool,
    /// Cancel consumers on queue failover; unused.
    pub enable_cancel_on_failover: bool,
    /// Heartbeat checks per threshold.
    pub heartbeat_rate: i64,
    /// Seconds without heartbeat before the link counts as dead; 0 is off.
    pub heartbeat_timeout_threshold: i64,
    /// Host name for stable queue names; unused (default is this host).
    pub hostname: String,
    /// Message compression.
    pub kombu_compression: Option<String>,
    /// Order in which brokers are tried.
    pub kombu_failover_strategy: String,
    /// Wait for a missing client on replies; unused.
    pub kombu_missing_consumer_retry_timeout: i64,
    /// Pause before reconnecting.
    pub kombu_reconnect_delay: f64,
    /// Random part of that pause.
    pub kombu_reconnect_splay: f64,
    /// Process name for stable queue names; unused (default is the program name).
    pub processname: String,
    /// Classic mirrored queues.
    pub rabbit_ha_queues: bool,
    /// Largest pause.
    pub rabbit_interval_max: i64,
    /// SASL mechanism for RabbitMQ.
    pub rabbit_login_method: String,
    /// Consumer prefetch; unused by a notifier.
    pub rabbit_qos_prefetch_count: i64,
    /// Redeliveries before a message is dropped.
    pub rabbit_quorum_delivery_limit: i64,
    /// Byte limit of a quorum queue.
    pub rabbit_quorum_max_memory_bytes: i64,
    /// Message limit of a quorum queue.
    pub rabbit_quorum_max_memory_length: i64,
    /// Declare quorum queues.
    pub rabbit_quorum_queue: bool,
    /// Growth of that pause.
    pub rabbit_retry_backoff: i64,
    /// First pause between connection attempts.
    pub rabbit_retry_interval: i64,
    /// Stream queues for fanout; unused.
    pub rabbit_stream_fanout: bool,
    /// Seconds before an unused transient queue goes.
    pub rabbit_transient_queues_ttl: i64,
    /// Quorum queues for transient queues.
    pub rabbit_transient_quorum_queue: bool,
    /// Connections in the pool.
    pub rpc_conn_pool_size: i64,
    /// Use TLS to the broker.
    pub ssl: bool,
    /// CA for the broker.
    pub ssl_ca_file: String,
    /// Client certificate for the broker.
    pub ssl_cert_file: String,
    /// Insist on FIPS mode for TLS.
    pub ssl_enforce_fips_mode: bool,
    /// Check the broker host name.
    pub ssl_enforce_hostname_verification: bool,
    /// Client key for the broker.
    pub ssl_key_file: String,
    /// TLS version for the broker.
    pub ssl_version: String,
    /// Stable queue names for consumers; unused.
    pub use_queue_manager: bool,
}

impl Default for OsloMessagingRabbitSection {
    fn default() -> Self {
        Self {
            amqp_auto_delete: false,
            amqp_durable_queues: false,
            conn_pool_min_size: 2,
            conn_pool_ttl: 1200,
            direct_mandatory_flag: true,
            enable_cancel_on_failover: false,
            heartbeat_rate: 3,
            heartbeat_timeout_threshold: 60,
            hostname: "<host name>".to_owned(),
            kombu_compression: None,
            kombu_failover_strategy: "round-robin".to_owned(),
            kombu_missing_consumer_retry_timeout: 60,
            kombu_reconnect_delay: 1.0,
            kombu_reconnect_splay: 0.0,
            processname: "<program name>".to_owned(),
            rabbit_ha_queues: false,
            rabbit_interval_max: 30,
            rabbit_login_method: "AMQPLAIN".to_owned(),
            rabbit_qos_prefetch_count: 0,
            rabbit_quorum_delivery_limit: 0,
            rabbit_quorum_max_memory_bytes: 0,
            rabbit_quorum_max_memory_length: 0,
            rabbit_quorum_queue: false,
            rabbit_retry_backoff: 2,
            rabbit_retry_interval: 1,
            rabbit_stream_fanout: false,
            rabbit_transient_queues_ttl: 1800,
            rabbit_transient_quorum_queue: false,
            rpc_conn_pool_size: 30,
            ssl: false,
            ssl_ca_file: String::new(),
            ssl_cert_file: String::new(),
            ssl_enforce_fips_mode: false,
            ssl_enforce_hostname_verification: true,
            ssl_key_file: String::new(),
            ssl_version: String::new(),
            use_queue_manager: false,
        }
    }
}

/// Options of `[oslo_middleware]`.
#[derive(Clone, Debug)]
pub struct OsloMiddlewareSection {
    /// Trust Forwarded and X-Forwarded-* for scheme, host, port, prefix and client address.
    pub enable_proxy_headers_parsing: bool,
}

impl Default for OsloMiddlewareSection {
    fn default() -> Self {
        Self { enable_proxy_headers_parsing: false }
    }
}

/// Options of `[oslo_policy]`.
#[derive(Clone, Debug)]
pub struct OsloPolicySection {
    /// Use only the new secure-RBAC defaults; false ORs in the old rules and re-enables the in-code owner checks.
    pub enforce_new_defaults: bool,
    /// Found in old configuration files; always on in the current policy library.
    pub enforce_scope: Option<String>,
    /// Rule used for unknown names.
    pub policy_default_rule: String,
    /// Directories of further policy files.
    pub policy_dirs: Vec<String>,
    /// Policy override file, relative to the configuration directory; may be absent.
    pub policy_file: String,
    /// Content type for http(s): policy checks.
    pub remote_content_type: String,
    /// CA for https: checks.
    pub remote_ssl_ca_crt_file: Option<String>,
    /// Client certificate for https: checks.
    pub remote_ssl_client_crt_file: Option<String>,
    /// Client key for https: checks.
    pub remote_ssl_client_key_file: Option<String>,
    /// Verify the server of https: checks.
    pub remote_ssl_verify_server_crt: bool,
    /// Timeout of remote policy checks.
    pub remote_timeout: f64,
}

impl Default for OsloPolicySection {
    fn default() -> Self {
        Self {
            enforce_new_defaults: true,
            enforce_scope: None,
            policy_default_rule: "default".to_owned(),
            policy_dirs: vec!["policy.d".to_owned()],
            policy_file: "policy.yaml".to_owned(),
            remote_content_type: "application/x-www-form-urlencoded".to_owned(),
            remote_ssl_ca_crt_file: None,
            remote_ssl_client_crt_file: None,
            remote_ssl_client_key_file: None,
            remote_ssl_verify_server_crt: false,
            remote_timeout: 60.0,
        }
    }
}

/// Options of `[oslo_reports]`.
#[derive(Clone, Debug)]
pub struct OsloReportsSection {
    /// File whose change triggers a report.
    pub file_event_handler: Option<String>,
    /// Polling interval for that file.
    pub file_event_handler_interval: i64,
    /// Directory for guru meditation reports.
    pub log_dir: Option<String>,
}

impl Default for OsloReportsSection {
    fn default() -> Self {
        Self { file_event_handler: None, file_event_handler_interval: 1, log_dir: None }
    }
}

/// Options of `[paste_deploy]`.
#[derive(Clone, Debug)]
pub struct PasteDeploySection {
    /// Paste file; derived from the last configuration file when empty.
    pub config_file: Option<String>,
    /// Pipeline suffix: empty (no auth), caching, cachemanagement, keystone, keystone+caching, keystone+cachemanagement.
    pub flavor: Option<String>,
}

impl Default for PasteDeploySection {
    fn default() -> Self {
        Self { config_file: None, flavor: None }
    }
}

/// Options of `[profiler]`.
#[derive(Clone, Debug)]
pub struct ProfilerSection {
    /// Profiler collector.
    pub connection_string: String,
    /// Turn osprofiler on.
    pub enabled: bool,
    /// Elasticsearch document type for profiles.
    pub es_doc_type: String,
    /// Elasticsearch scroll page.
    pub es_scroll_size: i64,
    /// Elasticsearch scroll lifetime.
    pub es_scroll_time: String,
    /// Put failed traces in a separate place.
    pub filter_error_trace: bool,
    /// Keys a caller must sign with to get a profile.
    pub hmac_keys: Secret,
    /// Redis sentinel name for profiles.
    pub sentinel_service_name: String,
    /// Redis socket timeout for profiles.
    pub socket_timeout: f64,
    /// Trace outgoing HTTP in profiles.
    pub trace_requests: bool,
    /// Trace SQL in profiles.
    pub trace_sqlalchemy: bool,
}

impl Default for ProfilerSection {
    fn default() -> Self {
        Self {
            connection_string: "messaging://".to_owned(),
            enabled: false,
            es_doc_type: "notification".to_owned(),
            es_scroll_size: 10000,
            es_scroll_time: "2m".to_owned(),
            filter_error_trace: false,
            hmac_keys: Secret::from("SECRET_KEY"),
            sentinel_service_name: "mymaster".to_owned(),
            socket_timeout: 0.1,
            trace_requests: false,
            trace_sqlalchemy: false,
        }
    }
}

/// Options of `[store_type_location_strategy]`.
#[derive(Clone, Debug)]
pub struct StoreTypeLocationStrategySection {
    /// Found in old configuration files; use store weight.
    pub store_type_preference: Option<String>,
}

impl Default for StoreTypeLocationStrategySection {
    fn default() -> Self {
        Self { store_type_preference: None }
    }
}

/// Options of `[task]`.
#[derive(Clone, Debug)]
pub struct TaskSection {
    /// Found in old configuration files; use taskflow_executor max_workers.
    pub eventlet_executor_pool_size: Option<String>,
    /// Task engine; only taskflow.
    pub task_executor: String,
    /// Hours a finished task is kept.
    pub task_time_to_live: i64,
    /// Scratch directory of the legacy import task (single-store mode).
    pub work_dir: Option<String>,
}

impl Default for TaskSection {
    fn default() -> Self {
        Self {
            eventlet_executor_pool_size: None,
            task_executor: "taskflow".to_owned(),
            task_time_to_live: 48,
            work_dir: None,
        }
    }
}

/// Options of `[taskflow_executor]`.
#[derive(Clone, Debug)]
pub struct TaskflowExecutorSection {
    /// Target format of the legacy import task's conversion step.
    pub conversion_format: Option<String>,
    /// Run flow steps serially or in parallel.
    pub engine_mode: String,
    /// Workers of one flow engine.
    pub max_workers: i64,
}

impl Default for TaskflowExecutorSection {
    fn default() -> Self {
        Self { conversion_format: None, engine_mode: "parallel".to_owned(), max_workers: 10 }
    }
}

/// Options of `[vault]`.
#[derive(Clone, Debug)]
pub struct VaultSection {
    /// AppRole role id.
    pub approle_role_id: Option<Secret>,
    /// AppRole secret id.
    pub approle_secret_id: Option<Secret>,
    /// Vault login method.
    pub auth_method: String,
    /// Mount path of the login method.
    pub auth_path: Option<String>,
    /// KV mount.
    pub kv_mountpoint: String,
    /// Path prefix inside the KV mount.
    pub kv_path: Option<String>,
    /// KV engine version.
    pub kv_version: i64,
    /// Vault namespace.
    pub namespace: Option<String>,
    /// Vault root token.
    pub root_token_id: Option<Secret>,
    /// CA for Vault.
    pub ssl_ca_crt_file: Option<String>,
    /// Request timeout in seconds.
    pub timeout: f64,
    /// File with the JWT.
    pub token_file: Option<String>,
    /// Kubernetes/JWT role.
    pub token_role: Option<String>,
    /// Old switch for TLS to Vault.
    pub use_ssl: bool,
    /// Vault URL.
    pub vault_url: String,
}

impl Default for VaultSection {
    fn default() -> Self {
        Self {
            approle_role_id: None,
            approle_secret_id: None,
            auth_method: "approle".to_owned(),
            auth_path: None,
            kv_mountpoint: "secret".to_owned(),
            kv_path: None,
            kv_version: 2,
            namespace: None,
            root_token_id: None,
            ssl_ca_crt_file: None,
            timeout: 60.0,
            token_file: None,
            token_role: None,
            use_ssl: false,
            vault_url: "http://127.0.0.1:8200".to_owned(),
        }
    }
}

/// Options of `[wsgi]`.
#[derive(Clone, Debug)]
pub struct WsgiSection {
    /// Interpreter used to apply resource limits to child processes; no meaning outside Python.
    pub python_interpreter: Option<String>,
    /// Concurrent background tasks per worker process.
    pub task_pool_threads: i64,
}

impl Default for WsgiSection {
    fn default() -> Self {
        Self { python_interpreter: None, task_pool_threads: 16 }
    }
}

/// Options of `[service]`.
#[derive(Clone, Debug)]
pub struct ServiceSection {
    /// Let a pipeline without authentication, where everyone is admin, listen beyond loopback and Unix sockets.
    pub allow_unauthenticated_listen: bool,
    /// Send image data from files by sendfile(2) where the connection allows it, without copying it.
    pub enable_sendfile: bool,
    /// Seconds that requests in flight have to finish once the service is told to stop.
    pub graceful_shutdown_timeout: i64,
    /// Path of a Unix socket to listen on, in place of bind_host and bind_port.
    pub listen_unix: Option<String>,
    /// Connections served at once by one worker; more wait in the backlog.
    pub max_connections: i64,
    /// Seconds that a client has for a TLS handshake.
    pub tls_handshake_timeout: i64,
}

impl Default for ServiceSection {
    fn default() -> Self {
        Self {
            allow_unauthenticated_listen: false,
            enable_sendfile: true,
            graceful_shutdown_timeout: 60,
            listen_unix: None,
            max_connections: 1000,
            tls_handshake_timeout: 10,
        }
    }
}
