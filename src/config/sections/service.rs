//! `[service]`: options of this service that upstream has no counterpart for. None of them needs to be set.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[service]`.
    ServiceSection = "service" {
        /// Let a pipeline without authentication, where everyone is admin, listen beyond loopback and Unix sockets.
        allow_unauthenticated_listen: bool = false, tier1();
        /// MiB of memory that qemu-img may take, for each image that an import converts.
        conversion_memory: i64 = 1024, tier1().min(64.0);
        /// Seconds that qemu-img has to convert an image, of processor time and by the clock.
        conversion_time: i64 = 7200, tier1().min(1.0);
        /// How many times its size a compressed image may grow when an import decompresses it, beyond 256 MiB.
        decompression_max_ratio: i64 = 200, tier1().min(1.0);
        /// Bytes that may come out of a compressed image when an import decompresses it; image_size_cap holds as well.
        decompression_max_size: i64 = 137_438_953_472, tier1().min(1.0);
        /// Log each request and response with headers and the beginning of JSON bodies, secrets masked; for development.
        debug_requests: bool = false, tier1();
        /// Send image data from files by sendfile(2) where the connection allows it, without copying it.
        enable_sendfile: bool = true, tier1();
        /// Seconds that requests in flight have to finish once the service is told to stop.
        graceful_shutdown_timeout: i64 = 60, tier1().min(0.0);
        /// Bring images into the image cache whole, even when nobody reads them to the end.
        image_cache_complete_fills: bool = false, tier1();
        /// Keep image_cache_max_size while the cache fills; without, it is exceeded until a prune, as upstream does.
        image_cache_enforce_max_size: bool = true, tier1();
        /// Bytes up to which an image is cached whole for a part of it, where its store cannot give a part.
        image_cache_range_fill_limit: i64 = 1_073_741_824, tier1().min(0.0);
        /// Ids of stores whose images are not cached when they are read; with a single store, its type.
        image_cache_skip_stores: Vec<String> = [], tier1();
        /// Seconds for which limits kept by Keystone are not asked for again; 0 asks for each request.
        keystone_limits_cache_time: i64 = 0, tier1().min(0.0).max(3600.0);
        /// Path of a Unix socket to listen on, in place of bind_host and bind_port.
        listen_unix: Option<String> = None, tier1();
        /// Connections served at once by one worker; more wait in the backlog.
        max_connections: i64 = 1000, tier1().min(1.0);
        /// Largest JSON body of a request in bytes; a longer one is answered by 413. Some routes take less.
        max_json_body: i64 = 2_097_152, tier1().min(1024.0);
        /// Directory of the intent log and, where there is no configuration file, of database and images; without it STATE_DIRECTORY,
        /// XDG_STATE_HOME or HOME says where.
        state_directory: Option<String> = None, tier1();
        /// Seconds that a client has for a TLS handshake.
        tls_handshake_timeout: i64 = 10, tier1().min(1.0);
    }
}
