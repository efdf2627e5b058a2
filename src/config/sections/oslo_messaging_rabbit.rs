//! `[oslo_messaging_rabbit]`.

use crate::config::option::{section, tier1, tier2, tier3};

section! {
    /// Options of `[oslo_messaging_rabbit]`.
    OsloMessagingRabbitSection = "oslo_messaging_rabbit" {
        /// Declare auto-delete queues.
        amqp_auto_delete: bool = false, tier2();
        /// Declare durable queues.
        amqp_durable_queues: bool = false, tier2();
        /// Connections kept open.
        conn_pool_min_size: i64 = 2, tier2();
        /// Idle seconds before a connection is closed.
        conn_pool_ttl: i64 = 1200, tier2();
        /// Mandatory flag for direct replies; unused.
        direct_mandatory_flag: bool = true, tier3().deprecated();
        /// Cancel consumers on queue failover; unused.
        enable_cancel_on_failover: bool = false, tier3();
        /// Heartbeat checks per threshold.
        heartbeat_rate: i64 = 3, tier2();
        /// Seconds without heartbeat before the link counts as dead; 0 is off.
        heartbeat_timeout_threshold: i64 = 60, tier1();
        /// Host name for stable queue names; unused (default is this host).
        hostname: String = "<host name>", tier3();
        /// Message compression.
        kombu_compression: Option<String> = None, tier2();
        /// Order in which brokers are tried.
        kombu_failover_strategy: String = "round-robin", tier2().choices(&["round-robin", "shuffle"]);
        /// Wait for a missing client on replies; unused.
        kombu_missing_consumer_retry_timeout: i64 = 60, tier3().old(&[("", "kombu_reconnect_timeout")]);
        /// Pause before reconnecting.
        kombu_reconnect_delay: f64 = 1.0, tier1().min(0.0).max(4.5);
        /// Random part of that pause.
        kombu_reconnect_splay: f64 = 0.0, tier2().min(0.0);
        /// Process name for stable queue names; unused (default is the program name).
        processname: String = "<program name>", tier3();
        /// Classic mirrored queues.
        rabbit_ha_queues: bool = false, tier2();
        /// Largest pause.
        rabbit_interval_max: i64 = 30, tier2().min(1.0);
        /// SASL mechanism for RabbitMQ.
        rabbit_login_method: String = "AMQPLAIN", tier2().choices(&["PLAIN", "AMQPLAIN", "EXTERNAL", "RABBIT-CR-DEMO"]);
        /// Consumer prefetch; unused by a notifier.
        rabbit_qos_prefetch_count: i64 = 0, tier3();
        /// Redeliveries before a message is dropped.
        rabbit_quorum_delivery_limit: i64 = 0, tier2();
        /// Byte limit of a quorum queue.
        rabbit_quorum_max_memory_bytes: i64 = 0, tier2();
        /// Message limit of a quorum queue.
        rabbit_quorum_max_memory_length: i64 = 0, tier2();
        /// Declare quorum queues.
        rabbit_quorum_queue: bool = false, tier2();
        /// Growth of that pause.
        rabbit_retry_backoff: i64 = 2, tier2().min(0.0);
        /// First pause between connection attempts.
        rabbit_retry_interval: i64 = 1, tier1().min(1.0);
        /// Stream queues for fanout; unused.
        rabbit_stream_fanout: bool = false, tier3();
        /// Seconds before an unused transient queue goes.
        rabbit_transient_queues_ttl: i64 = 1800, tier3().min(0.0);
        /// Quorum queues for transient queues.
        rabbit_transient_quorum_queue: bool = false, tier2();
        /// Connections in the pool.
        rpc_conn_pool_size: i64 = 30, tier2().min(1.0);
        /// Use TLS to the broker.
        ssl: bool = false, tier1();
        /// CA for the broker.
        ssl_ca_file: String = "", tier1().file();
        /// Client certificate for the broker.
        ssl_cert_file: String = "", tier1().file();
        /// Insist on FIPS mode for TLS.
        ssl_enforce_fips_mode: bool = false, tier2().deprecated();
        /// Check the broker host name.
        ssl_enforce_hostname_verification: bool = true, tier2().deprecated();
        /// Client key for the broker.
        ssl_key_file: String = "", tier1().file();
        /// TLS version for the broker.
        ssl_version: String = "", tier2();
        /// Stable queue names for consumers; unused.
        use_queue_manager: bool = false, tier3();
    }
}
