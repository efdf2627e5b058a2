//! The pools of connections to one database or replica, as the options have them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, MySqlConnection, PgConnection, SqliteConnection};

use crate::config::{DatabaseSection, FileStates};

use super::address::{self, DatabaseAddress, MySqlAddress, Parsed, PostgresAddress, SqliteAddress};
use super::connector::{Connector, MySqlConnector, PostgresConnector};
use super::error::DbError;
use super::pool::{Limits, Pool};

/// How long SQLite waits for a lock of another connection or process before it says that it is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLAlchemy's default for `pool_timeout`.
const POOL_TIMEOUT: u64 = 30;
/// "No limit" of the pool still needs one.
const MOST_CONNECTIONS: usize = 1000;
/// Prepared statements kept by each connection. Lists of values are padded, so that their forms are few.
const STATEMENTS: usize = 64;
/// A connection that has been idle for longer is checked before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);
/// Connections above `max_pool_size` are given back to the server when they have been idle for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// SQLite cuts its write-ahead log back to this many bytes after a burst.
const LOG_LIMIT: &str = "67108864";

/// The pools of one database or replica.
#[derive(Clone)]
pub(super) enum Backend {
    /// SQLite lets one connection write at a time: that one is ours to queue for, with a fair queue and no polling.
    Sqlite {
        write: Pool<SqliteConnection>,
        read: Pool<SqliteConnection>,
    },
    Postgres {
        pool: Pool<PgConnection>,
        is_pooled: Arc<AtomicBool>,
        limit: Duration,
    },
    MySql {
        pool: Pool<MySqlConnection>,
        answer: Option<Duration>,
        is_strict: bool,
        is_galera: Arc<AtomicBool>,
        limit: Duration,
    },
}

impl Backend {
    /// Within what time an attempt to connect has an outcome.
    pub(super) fn connect_limit(&self) -> Duration {
        match self {
            Self::Sqlite { .. } => BUSY_TIMEOUT,
            Self::Postgres { limit, .. } | Self::MySql { limit, .. } => *limit,
        }
    }

    /// Closes the connections that are not needed any more.
    pub(super) async fn trim(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.trim().await;
                write.trim().await;
            }
            Self::Postgres { pool, .. } => pool.trim().await,
            Self::MySql { pool, .. } => pool.trim().await,
        }
    }

    /// Waits until there are connections for [`Self::trim`].
    pub(super) async fn wait_for_surplus(&self) {
        match self {
            Self::Sqlite { write, read } => {
                tokio::select! {
                    () = read.wait_for_surplus() => {}
                    () = write.wait_for_surplus() => {}
                }
            }
            Self::Postgres { pool, .. } => pool.wait_for_surplus().await,
            Self::MySql { pool, .. } => pool.wait_for_surplus().await,
        }
    }

    /// Closes all connections after their present use.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
            Self::MySql { pool, .. } => pool.close().await,
        }
    }
}

/// What the options name.
pub(super) struct Addresses {
    pub(super) main: Parsed<DatabaseAddress>,
    pub(super) replica: Option<Parsed<DatabaseAddress>>,
}

impl Addresses {
    /// The files that they come from.
    pub(super) fn files(&self) -> FileStates {
        let of_replica = self.replica.as_ref().map(|replica| replica.files.clone());
        self.main.files.clone().and(of_replica.unwrap_or_default())
    }
}

/// Reads `connection` and `slave_connection`, also where the latter will not be used: a mistake in it is to be seen.
pub(super) fn addresses(options: &DatabaseSection) -> Result<Addresses, DbError> {
    let url = options.connection.as_ref().ok_or_else(|| DbError::Url("is not set".to_owned()))?;
    let main = DatabaseAddress::parse(url.expose(), &options.connection_parameters)?;
    mysql_settings(options)?;
    let replica = options.slave_connection.as_ref().filter(|url| !url.expose().is_empty());
    let replica = replica.map(|url| DatabaseAddress::parse(url.expose(), &options.connection_parameters)).transpose();
    Ok(Addresses { main, replica: replica.map_err(of_replica)? })
}

fn of_replica(error: DbError) -> DbError {
    match error {
        DbError::Url(text) => DbError::ReplicaUrl(text),
        other => other,
    }
}

pub(super) fn backend_of_replica(
    parsed: Parsed<DatabaseAddress>,
    options: &DatabaseSection,
) -> Result<(Arc<str>, Backend), DbError> {
    backend(parsed, options, "slave_connection").map_err(of_replica)
}

/// The pools for an address, and its label for error texts. Tells of parameters that have no effect; their values may be secrets.
pub(super) fn backend(
    parsed: Parsed<DatabaseAddress>,
    options: &DatabaseSection,
    option: &str,
) -> Result<(Arc<str>, Backend), DbError> {
    for parameter in &parsed.unused {
        tracing::warn!(%parameter, option, "parameter of a database URL has no effect");
    }
    let label = parsed.address.label().into();
    let backend = match parsed.address {
        DatabaseAddress::Sqlite(address) => sqlite(&address, options),
        DatabaseAddress::Postgres(address) => postgres(*address, options),
        DatabaseAddress::MySql(address) => mysql(*address, options)?,
    };
    Ok((label, backend))
}

fn postgres(mut address: PostgresAddress, options: &DatabaseSection) -> Backend {
    for way in address.servers.iter_mut().flat_map(|server| server.ways.iter_mut()) {
        *way = way.clone().statement_cache_capacity(STATEMENTS).disable_statement_logging();
    }
    let connector = PostgresConnector::new(address);
    let (is_pooled, limit) = (connector.is_pooled(), connector.limit());
    Backend::Postgres { pool: Pool::new(Arc::new(connector), server_limits(options)), is_pooled, limit }
}

fn mysql(mut address: MySqlAddress, options: &DatabaseSection) -> Result<Backend, DbError> {
    for server in &mut address.servers {
        *server = server.clone().statement_cache_capacity(STATEMENTS).disable_statement_logging();
    }
    let answer = address.read_timeout;
    // A command of the operator's comes last, and may change the mode.
    let is_strict = address::is_strict(&options.mysql_sql_mode) && address.init_command.is_none();
    let connector = MySqlConnector::new(address, mysql_settings(options)?);
    let (is_galera, limit) = (connector.is_galera(), connector.limit());
    let pool = Pool::new(Arc::new(connector), server_limits(options));
    Ok(Backend::MySql { pool, answer, is_strict, is_galera, limit })
}

fn sqlite(address: &SqliteAddress, options: &DatabaseSection) -> Backend {
    // A power cut must not take back what was answered: in WAL mode, only FULL flushes each commit. OFF is upstream's
    // meaning of `sqlite_synchronous = false`. The journal mode is that of the file; see `create_schema`.
    let synchronous = if options.sqlite_synchronous { SqliteSynchronous::Full } else { SqliteSynchronous::Off };
    let connect = SqliteConnectOptions::new()
        .filename(&address.path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(address.timeout.unwrap_or(BUSY_TIMEOUT))
        .synchronous(synchronous)
        .pragma("journal_size_limit", LOG_LIMIT)
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(256)
        .thread_name(|id| format!("sqlite-{id}"))
        .disable_statement_logging();
    let wait = pool_timeout(options);
    let limits =
        |connections| Limits { connections, wait, trusted_idle: None, kept: connections, idle: None, age: None };
    let write = Pool::new(Arc::new(connect.clone()), limits(1));
    // Reading is work of the processor: more connections than cores only queue elsewhere.
    let readers = available_parallelism().map_or(1, usize::from).clamp(2, most_connections(options).max(2));
    let read = Pool::new(Arc::new(connect.pragma("query_only", "ON")), limits(readers));
    Backend::Sqlite { write, read }
}

/// What is set in each connection: what the options want, and that a list does not intersect indexes of columns that say little,
/// such as `deleted` and `os_hidden`, which takes a second where there are many images.
fn mysql_settings(options: &DatabaseSection) -> Result<Vec<String>, DbError> {
    let mut settings = vec!["SESSION optimizer_switch = 'index_merge_intersection=off'".to_owned()];
    if !options.mysql_sql_mode.is_empty() {
        settings.push(address::sql_mode(&options.mysql_sql_mode)?);
    }
    if let Some(wait) = options.mysql_wsrep_sync_wait {
        settings.push(format!("SESSION wsrep_sync_wait = {wait}"));
    }
    Ok(settings)
}

fn server_limits(options: &DatabaseSection) -> Limits {
    let recycle = options.connection_recycle_time;
    Limits {
        connections: most_connections(options),
        wait: pool_timeout(options),
        trusted_idle: Some(TRUSTED_IDLE),
        kept: usize::try_from(options.max_pool_size).ok().filter(|&size| size > 0).unwrap_or(MOST_CONNECTIONS),
        idle: Some(IDLE_TIMEOUT),
        age: (recycle > 0).then(|| seconds(recycle)),
    }
}

/// `max_pool_size` + `max_overflow`; 0 and -1 respectively mean no limit.
fn most_connections(options: &DatabaseSection) -> usize {
    if options.max_pool_size <= 0 || options.max_overflow < 0 {
        return MOST_CONNECTIONS;
    }
    let sum = options.max_pool_size.saturating_add(options.max_overflow);
    usize::try_from(sum).unwrap_or(MOST_CONNECTIONS).min(MOST_CONNECTIONS)
}

fn pool_timeout(options: &DatabaseSection) -> Duration {
    Duration::from_secs(options.pool_timeout.and_then(|timeout| u64::try_from(timeout).ok()).unwrap_or(POOL_TIMEOUT))
}

pub(super) fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_pool() {
        let size = |size, overflow| {
            most_connections(&DatabaseSection {
                max_pool_size: size,
                max_overflow: overflow,
                ..DatabaseSection::default()
            })
        };
        assert_eq!(size(5, 50), 55);
        assert_eq!(size(1, 0), 1);
        assert_eq!(size(0, 50), MOST_CONNECTIONS);
        assert_eq!(size(5, -1), MOST_CONNECTIONS);
        assert_eq!(size(i64::MAX, i64::MAX), MOST_CONNECTIONS);
    }
}
