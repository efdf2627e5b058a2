//! `[keystone_authtoken]`.

use crate::config::Secret;
use crate::config::option::{removed, section, tier1, tier2, tier3};

/// Why there is no memcached.
const OWN_CACHE: &str = "tokens are cached within each worker";

section! {
    /// Options of `[keystone_authtoken]`.
    KeystoneAuthtokenSection = "keystone_authtoken" {
        /// Application credential id.
        application_credential_id: Option<String> = None, tier1().plugin();
        /// Application credential name, together with the user.
        application_credential_name: Option<String> = None, tier1().plugin();
        /// Application credential secret.
        application_credential_secret: Option<Secret> = None, tier1().secret().plugin();
        /// Other section from which auth options are read.
        auth_section: Option<String> = None, tier1();
        /// Keystone auth plugin name whose own options then apply to this section.
        auth_type: Option<String> = None, tier1().old(&[("", "auth_plugin")]).plugin();
        /// Found in old configuration files; use www_authenticate_uri.
        auth_uri: Option<String> = None, removed();
        /// Keystone URL of the service account (also the target of worker-to-worker proxying).
        auth_url: Option<String> = None, tier1().plugin();
        /// Identity API version; discovered when empty.
        auth_version: Option<String> = None, tier2();
        /// WSGI environ key of a shared cache object.
        cache: Option<String> = None, tier2().idle(OWN_CACHE);
        /// CA bundle for TLS to the remote service.
        cafile: Option<String> = None, tier1().file();
        /// Client certificate for TLS to the remote service.
        certfile: Option<String> = None, tier1().file();
        /// Domain id for user and project where they have none of their own.
        default_domain_id: Option<String> = None, tier1().plugin();
        /// Domain for user and project where they have none of their own.
        default_domain_name: Option<String> = None, tier1().plugin();
        /// Let unauthenticated requests through with X-Identity-Status Invalid (the shipped pipeline sets true).
        delay_auth_decision: bool = true, tier1();
        /// Domain id to scope to.
        domain_id: Option<String> = None, tier1().plugin();
        /// Domain to scope to.
        domain_name: Option<String> = None, tier1().plugin();
        /// Legacy token bind check level.
        enforce_token_bind: String = "permissive", tier3();
        /// Connect timeout to Keystone.
        http_connect_timeout: Option<i64> = None, tier1();
        /// Retries towards Keystone.
        http_request_max_retries: i64 = 3, tier1();
        /// Found in old configuration files; use auth_url.
        identity_uri: Option<String> = None, removed();
        /// Ask for and forward the service catalog.
        include_service_catalog: bool = true, tier1();
        /// Skip verification of the remote certificate.
        insecure: bool = false, tier1();
        /// Catalog interface for Keystone calls.
        interface: String = "internal", tier1();
        /// Client key for TLS to the remote service.
        keyfile: Option<String> = None, tier1().file();
        /// SASL password.
        memcache_password: Option<Secret> = None, tier2().secret().idle(OWN_CACHE);
        /// Wait for a pooled memcached connection.
        memcache_pool_conn_get_timeout: i64 = 10, tier2().idle(OWN_CACHE);
        /// Seconds a dead memcached is left alone.
        memcache_pool_dead_retry: i64 = 300, tier2().idle(OWN_CACHE);
        /// memcached connections in the pool.
        memcache_pool_maxsize: i64 = 10, tier2().idle(OWN_CACHE);
        /// memcached socket timeout.
        memcache_pool_socket_timeout: i64 = 3, tier2().idle(OWN_CACHE);
        /// Seconds an idle memcached connection is kept.
        memcache_pool_unused_timeout: i64 = 60, tier2().idle(OWN_CACHE);
        /// SASL to memcached.
        memcache_sasl_enabled: bool = false, tier2().idle(OWN_CACHE);
        /// Key for that protection.
        memcache_secret_key: Option<Secret> = None, tier2().secret().idle(OWN_CACHE);
        /// None, MAC or ENCRYPT for cached tokens.
        memcache_security_strategy: String = "None",
            tier2().choices(&["None", "MAC", "ENCRYPT"]).ignore_case().idle(OWN_CACHE);
        /// Ciphers for memcached.
        memcache_tls_allowed_ciphers: Option<String> = None, tier2().idle(OWN_CACHE);
        /// CA for memcached.
        memcache_tls_cafile: Option<String> = None, tier2().file().idle(OWN_CACHE);
        /// Client certificate for memcached.
        memcache_tls_certfile: Option<String> = None, tier2().file().idle(OWN_CACHE);
        /// TLS to memcached.
        memcache_tls_enabled: bool = false, tier2().idle(OWN_CACHE);
        /// Client key for memcached.
        memcache_tls_keyfile: Option<String> = None, tier2().file().idle(OWN_CACHE);
        /// Use the threaded memcached pool.
        memcache_use_advanced_pool: bool = true, tier2().idle(OWN_CACHE);
        /// SASL user.
        memcache_username: Option<String> = None, tier2().idle(OWN_CACHE);
        /// memcached list for the token cache; empty uses an in-process cache.
        memcached_servers: Option<Vec<String>> = None, tier1().old(&[("", "memcache_servers")]).idle(OWN_CACHE);
        /// Service account password.
        password: Option<Secret> = None, tier1().secret().plugin();
        /// Domain id of that project.
        project_domain_id: Option<String> = None, tier1().plugin();
        /// Domain of that project.
        project_domain_name: Option<String> = None, tier1().plugin();
        /// Project id of the service account.
        project_id: Option<String> = None, tier1().old(&[("", "tenant-id"), ("", "tenant_id")]).plugin();
        /// Project of the service account.
        project_name: Option<String> = None, tier1().old(&[("", "tenant-name"), ("", "tenant_name")]).plugin();
        /// Keystone region.
        region_name: Option<String> = None, tier1();
        /// Roles that make a service token valid.
        service_token_roles: Vec<String> = ["service"], tier1();
        /// Insist on one of those roles.
        service_token_roles_required: bool = true, tier1();
        /// Service type used for access rules of application credentials.
        service_type: Option<String> = None, tier2();
        /// System scope.
        system_scope: Option<String> = None, tier1().plugin();
        /// Timeout of Keystone calls made when refreshing a token through a trust.
        timeout: Option<i64> = None, tier1().idle("it is for trusts, which this service does not make");
        /// Seconds a validated token is cached; -1 turns caching off.
        token_cache_time: i64 = 300, tier1();
        /// Trust to use.
        trust_id: Option<String> = None, tier1().plugin();
        /// Domain id of the service account.
        user_domain_id: Option<String> = None, tier1().plugin();
        /// Domain of the service account.
        user_domain_name: Option<String> = None, tier1().plugin();
        /// Id of the service account.
        user_id: Option<String> = None, tier1().plugin();
        /// Service account name.
        username: Option<String> = None, tier1().old(&[("", "user-name"), ("", "user_name")]).plugin();
        /// Keystone URL put in the WWW-Authenticate header of a 401.
        www_authenticate_uri: Option<String> = None, tier1();
    }
}
