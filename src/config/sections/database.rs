//! `[database]`.

use crate::config::Secret;
use crate::config::option::{section, tier1, tier2, tier3};

section! {
    /// Options of `[database]`.
    DatabaseSection = "database" {
        /// URL for the asyncio engine; unused by Glance.
        asyncio_connection: Option<Secret> = None, tier3().secret();
        /// Read replica URL for the asyncio engine; unused by Glance.
        asyncio_slave_connection: Option<Secret> = None, tier3().secret();
        /// Database layer name; only sqlalchemy.
        backend: String = "sqlalchemy", tier3();
        /// SQLAlchemy URL of the database.
        connection: Option<Secret> = None, tier1().secret();
        /// SQL log verbosity, 0 to 100.
        connection_debug: i64 = 0, tier3().min(0.0).max(100.0);
        /// Extra URL parameters appended to the connection.
        connection_parameters: String = "", tier1();
        /// Seconds after which a pooled connection is replaced.
        connection_recycle_time: i64 = 3600, tier1();
        /// Add caller information to SQL as comments.
        connection_trace: bool = false, tier3();
        /// Double that pause on each retry, with use_db_reconnect.
        db_inc_retry_interval: bool = true, tier1();
        /// Retries after a lost connection, with use_db_reconnect; -1 until the time of an operation is over.
        db_max_retries: i64 = 20, tier1();
        /// Largest pause between retries, with use_db_reconnect.
        db_max_retry_interval: i64 = 10, tier1();
        /// First pause between retries, with use_db_reconnect.
        db_retry_interval: i64 = 1, tier1();
        /// Connections allowed above the pool size.
        max_overflow: i64 = 50, tier1();
        /// Connections kept in the pool; 0 means unlimited.
        max_pool_size: i64 = 5, tier1();
        /// Connection attempts at start; -1 is endless.
        max_retries: i64 = 10, tier1();
        /// sql_mode set on each MySQL session; empty leaves the server default.
        mysql_sql_mode: String = "TRADITIONAL", tier1();
        /// Galera wsrep_sync_wait set on each session.
        mysql_wsrep_sync_wait: Option<i64> = None, tier1();
        /// Seconds to wait for a pooled connection.
        pool_timeout: Option<i64> = None, tier1();
        /// Seconds between those attempts.
        retry_interval: i64 = 10, tier1();
        /// URL of a read replica, for lists of images; used where synchronous_reader is off.
        slave_connection: Option<Secret> = None, tier1().secret();
        /// SQLite synchronous pragma on.
        sqlite_synchronous: bool = true, tier2();
        /// Reads must see what was written before, so that the replica is not used.
        synchronous_reader: bool = true, tier1();
        /// Retry after a lost connection with the pauses of db_retry_interval, not the shorter built-in ones.
        use_db_reconnect: bool = false, tier1();
    }
}
