//! `[DEFAULT]`.

use crate::config::option::{removed, section, tier1, tier2, tier3};
use crate::config::{Secret, given};

section! {
    /// Options of `[DEFAULT]`.
    DefaultSection = "DEFAULT" {
        /// Found in old configuration files; use the context_is_admin rule.
        admin_role: Option<String> = None, removed();
        /// Found in old configuration files; always true.
        allow_additional_image_properties: Option<String> = None, removed();
        /// Let requests without a valid token act as a read-only, role-less user (needs the context filter).
        allow_anonymous_access: bool = false, tier1();
        /// Upper bound silently applied to any requested page size.
        api_limit_max: i64 = 1000, tier1().min(1.0);
        /// Listen backlog.
        backlog: i64 = 4096, tier1().min(1.0);
        /// Address to listen on; empty is every address of this host.
        bind_host: String = "0.0.0.0", tier1().host_or_none();
        /// Port to listen on (9292).
        bind_port: u16 = 9292, tier1();
        /// CA that client certificates must chain to; setting it makes client certificates mandatory.
        ca_file: Option<String> = None, tier1().file();
        /// Server certificate; together with key_file turns TLS on.
        cert_file: Option<String> = None, tier1().file();
        /// Bytes per transfer block (-c).
        chunksize: i64 = 65_536, tier2().idle("it is for upstream's glance-replicator");
        /// Idle seconds before a client connection is closed; 0 waits for ever.
        client_socket_timeout: i64 = 900, tier1().min(0.0);
        /// Sections that describe further sources of configuration, such as a remote file.
        config_source: Vec<String> = [], tier1();
        /// AMQP exchange for notifications.
        control_exchange: String = "glance", tier2().later("notifications");
        /// Run the scrubber as a daemon (-D).
        daemon: bool = false, tier2();
        /// Found in old configuration files; registry is gone.
        data_api: Option<String> = None, removed();
        /// Log at DEBUG instead of INFO.
        debug: bool = false, tier1();
        /// Per-logger level overrides as name=LEVEL.
        default_log_levels: Vec<String> = [
            "amqp=WARN", "boto=WARN", "sqlalchemy=WARN", "suds=INFO", "oslo.messaging=INFO", "oslo_messaging=INFO",
            "iso8601=WARN", "requests.packages.urllib3.connectionpool=WARN", "urllib3.connectionpool=WARN",
            "websocket=WARN", "requests.packages.urllib3.util.retry=WARN", "urllib3.util.retry=WARN",
            "keystonemiddleware=WARN", "routes.middleware=WARN", "stevedore=WARN", "taskflow=WARN",
            "keystoneauth=WARN", "oslo.cache=INFO", "oslo_policy=INFO", "dogpile.core.dogpile=INFO",
        ], tier1();
        /// Publisher id stamped on notifications.
        default_publisher_id: String = "image.localhost", tier1().later("notifications");
        /// Mark images pending_delete and leave data to the scrubber.
        delayed_delete: bool = false, tier1();
        /// Digest once used to check the TLS key/certificate pair; has no effect upstream.
        digest_algorithm: String = "sha256", tier3().deprecated();
        /// Event types or groups that are not emitted.
        disabled_notifications: Vec<String> = [], tier1().later("notifications");
        /// Compute checksum and multihash in the background for images registered through POST locations.
        do_secure_hash: bool = true, tier1();
        /// Fields left out of a copy (-D).
        dontreplicate: String = "created_at date deleted_at location updated_at", tier2().idle("it is for upstream's glance-replicator");
        /// Found in old configuration files; always on.
        enable_image_import: Option<String> = None, removed();
        /// Found in old configuration files; v1 is gone.
        enable_v1_api: Option<String> = None, removed();
        /// Found in old configuration files; registry is gone.
        enable_v1_registry: Option<String> = None, removed();
        /// Found in old configuration files; always on.
        enable_v2_api: Option<String> = None, removed();
        /// Found in old configuration files; registry is gone.
        enable_v2_registry: Option<String> = None, removed();
        /// Multi-store map of store id to driver type; setting it switches the whole service to multi-store mode.
        enabled_backends: Option<Vec<(String, String)>> = None, tier1();
        /// Import methods offered (bracketed, quoted list syntax allowed).
        enabled_import_methods: Vec<String> = ["glance-direct", "web-download", "copy-image"],
            tier1().choices(&["glance-direct", "web-download", "copy-image", "glance-download"]).bounded().quoted();
        /// Found in old configuration files; use oslo_policy enforce_new_defaults.
        enforce_secure_rbac: Option<String> = None, removed();
        /// Thread pool of the messaging library for consumers; unused by a notifier.
        executor_thread_pool_size: i64 = 64, tier3().old(&[("", "rpc_thread_pool_size")]);
        /// Turn deprecation messages into errors.
        fatal_deprecations: bool = false, tier3();
        /// hashlib name used for os_hash_algo/os_hash_value of new data.
        hashing_algorithm: String = "sha512", tier1();
        /// Keep connections open between requests.
        http_keepalive: bool = true, tier1();
        /// Attempts for the background hash calculation of a registered location.
        http_retries: i64 = 3, tier1();
        /// Cache root; setting it enables the cache API and microversions 2.14, 2.16 and 2.18.
        image_cache_dir: Option<String> = None, tier1();
        /// Where cache bookkeeping lives: shared database, local SQLite or file attributes.
        image_cache_driver: String = "centralized_db",
            tier1().choices(&["centralized_db", "sqlite", "xattr"]).ignore_case();
        /// Byte threshold above which a prune removes least recently used entries.
        image_cache_max_size: i64 = 10_737_418_240, tier1().min(0.0);
        /// File name of the per-node SQLite cache index (old driver; also the source of the one-off migration).
        image_cache_sqlite_db: String = "cache.db", tier2().deprecated();
        /// Seconds after which a half-written cache file counts as stalled.
        image_cache_stall_time: i64 = 86_400, tier1().min(0.0);
        /// Locations allowed per image; negative means no limit.
        image_location_quota: i64 = 10, tier1();
        /// Members allowed per image; negative means no limit.
        image_member_quota: i64 = 128, tier1();
        /// Custom properties allowed per image (os_glance* not counted); negative means no limit.
        image_property_quota: i64 = 128, tier1();
        /// Largest image in bytes that may be written or recorded.
        image_size_cap: i64 = 1_099_511_627_776, tier1().min(1.0).max(9_223_372_036_854_775_808.0);
        /// Tags allowed per image; negative means no limit.
        image_tag_quota: i64 = 128, tier1();
        /// Prefix for records tied to an instance object.
        instance_format: String = "[instance: %(uuid)s] ", tier3();
        /// Prefix for records tied to an instance id.
        instance_uuid_format: String = "[instance: %(uuid)s] ", tier3();
        /// Server private key.
        key_file: Option<String> = None, tier1().file();
        /// Page size when the caller gives no limit.
        limit_param_default: i64 = 25, tier1().min(1.0);
        /// Found in old configuration files; use store weight.
        location_strategy: Option<String> = None, removed();
        /// Colour logs on a terminal.
        log_color: bool = false, tier2();
        /// Python logging configuration file that replaces all other log options.
        log_config_append: Option<String> = None, tier3().old(&[("", "log_config")]);
        /// strftime pattern for log timestamps.
        log_date_format: String = "%Y-%m-%d %H:%M:%S", tier2();
        /// Directory for log files.
        log_dir: Option<String> = None, tier2().old(&[("", "logdir")]);
        /// Log file name (relative to log-dir).
        log_file: Option<String> = None, tier2().old(&[("", "logfile")]);
        /// Amount of time between log rotations.
        log_rotate_interval: i64 = 1, tier3();
        /// Unit of the rotation interval.
        log_rotate_interval_type: String = "days",
            tier3().choices(&["Seconds", "Minutes", "Hours", "Days", "Weekday", "Midnight"]).ignore_case();
        /// Rotation by interval, size or none.
        log_rotation_type: String = "none", tier3().choices(&["interval", "size", "none"]).ignore_case();
        /// Line format for records that carry a request context.
        logging_context_format_string: String =
            "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [%(global_request_id)s %(request_id)s \
             %(user_identity)s] %(instance)s%(message)s",
            tier2();
        /// Extra text appended at DEBUG.
        logging_debug_format_suffix: String = "%(funcName)s %(pathname)s:%(lineno)d", tier2();
        /// Line format for records without a context.
        logging_default_format_string: String =
            "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(instance)s%(message)s",
            tier2();
        /// Prefix for each traceback line.
        logging_exception_prefix: String = "%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s %(instance)s", tier3();
        /// How user, project and domain are rendered in the line.
        logging_user_identity_format: String =
            "%(user)s %(project)s %(domain)s %(system_scope)s %(user_domain)s %(project_domain)s",
            tier2();
        /// Longest header line.
        max_header_line: i64 = 16_384, tier1().min(0.0);
        /// Rotated log files kept.
        max_logfile_count: i64 = 30, tier3();
        /// Size that triggers size-based rotation.
        max_logfile_size_mb: i64 = 200, tier3();
        /// Longest caller-supplied X-OpenStack-Request-ID accepted; 0 disables the check.
        max_request_id_length: i64 = 64, tier1().min(0.0);
        /// AES key with which location URLs are encrypted in the database.
        metadata_encryption_key: Option<Secret> = None, tier2().deprecated().secret();
        /// Directory of metadef JSON files for load and export.
        metadata_source_path: String = "/etc/glance/metadefs/", tier1();
        /// Copy metadata only (-m).
        metaonly: bool = false, tier2().idle("it is for upstream's glance-replicator");
        /// file:// directory for staged and downloaded import data in single-store mode.
        node_staging_uri: String = "file:///tmp/staging/", tier1();
        /// Found in old configuration files; only True is possible; refuse to start on False.
        owner_is_tenant: Option<String> = None, removed();
        /// INI file of per-property CRUD rules; the service refuses to start if it is unusable.
        property_protection_file: Option<String> = None, tier1().file();
        /// Whether the rule file names roles or policies.
        property_protection_rule_format: String = "roles", tier1().choices(&["roles", "policies"]);
        /// Base URL used in the versions document and as the fall-back identity of this worker for proxying.
        public_endpoint: Option<String> = None, tier1();
        /// Publish error logs as notifications.
        publish_errors: bool = false, tier3();
        /// Host of a Python remote debugger (left over; meaningless outside Python).
        pydev_worker_debug_host: Option<String> = None, tier3().host();
        /// Port of a Python remote debugger.
        pydev_worker_debug_port: u16 = 5678, tier3();
        /// Records allowed per window.
        rate_limit_burst: i64 = 0, tier2();
        /// Level at and above which rate limiting does not apply.
        rate_limit_except_level: String = "CRITICAL",
            tier2().choices(&["CRITICAL", "ERROR", "INFO", "WARNING", "DEBUG", ""]);
        /// Window in seconds for log rate limiting; 0 is off.
        rate_limit_interval: i64 = 0, tier2();
        /// Found in old configuration files; registry is gone.
        registry_host: Option<String> = None, removed();
        /// Found in old configuration files; registry is gone.
        registry_port: Option<String> = None, removed();
        /// Image id to bring back from pending_delete to active.
        restore: Option<String> = None, tier2();
        /// Answer oslo.messaging pings; unused.
        rpc_ping_enabled: bool = false, tier3();
        /// RPC reply timeout; unused (notifications only).
        rpc_response_timeout: i64 = 60, tier3();
        /// Images scrubbed in parallel.
        scrub_pool_size: i64 = 1, tier2().min(1.0).later("scrubbers");
        /// Seconds a pending_delete image must wait before the scrubber may erase it.
        scrub_time: i64 = 0, tier1().min(0.0).later("scrubbers");
        /// Found in old configuration files; use enable_proxy_headers_parsing.
        secure_proxy_ssl_header: Option<String> = None, removed();
        /// Expose the best location as direct_url in image bodies.
        show_image_direct_url: bool = false, tier1();
        /// Expose locations in image bodies and unlock the PATCH locations operations.
        show_multiple_locations: bool = false, tier1().deprecated();
        /// Token for the source.
        sourcetoken: String = "", tier2().secret().idle("it is for upstream's glance-replicator");
        /// Syslog facility.
        syslog_log_facility: String = "LOG_USER", tier2();
        /// Token for the target.
        targettoken: String = "", tier2().secret().idle("it is for upstream's glance-replicator");
        /// Idle seconds before TCP keepalive probes.
        tcp_keepidle: i64 = 600, tier1().min(1.0);
        /// Token for both sides (-t).
        token: String = "", tier2().secret();
        /// Message bus URL.
        transport_url: Secret = "rabbit://", tier1().secret().later("notifications");
        /// Send logs to journald with structured fields.
        use_journal: bool = false, tier1();
        /// Emit log records as JSON.
        use_json: bool = false, tier2();
        /// Enforce the four registered limits held in Keystone instead of the static quota.
        use_keystone_limits: bool = false, tier1();
        /// Also log to standard error.
        use_stderr: bool = false, tier2();
        /// Send logs to syslog.
        use_syslog: bool = false, tier2();
        /// Found in old configuration files; registry is gone.
        use_user_token: Option<String> = None, removed();
        /// Legacy per-project byte quota over all stores: a number and B, KB, MB, GB or TB (powers of 1024); 0 is off.
        user_storage_quota: String = "0", tier1();
        /// Pause in seconds between scrubber rounds in daemon mode.
        wakeup_time: i64 = 300, tier2().min(0.0).later("scrubbers");
        /// URL at which peers reach this very worker; used for import/delete proxying and as cache node identity.
        worker_self_reference_url: Option<String> = None, tier1();
        /// Worker processes; 0 serves in the parent.
        workers: Option<i64> = None, tier1().min(0.0);
    }
}

impl DefaultSection {
    /// The most that Linux takes for `tcp_keepidle` (`MAX_TCP_KEEPIDLE`).
    pub const LONGEST_KEEPIDLE: i64 = 32_767;

    /// Where other hosts reach this one: `worker_self_reference_url`, else `public_endpoint`.
    pub(crate) fn self_url(&self) -> Option<String> {
        given(&self.worker_self_reference_url).or_else(|| given(&self.public_endpoint))
    }
}
