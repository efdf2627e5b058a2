//! The database: where it is, and the pools of connections to it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, MySqlConnection, PgConnection, SqliteConnection};
use tokio::time::sleep;

use crate::config::DatabaseSection;

use super::cipher::LocationCipher;
use super::dialect::Dialect;
use super::error::DbError;
use super::pool::{CONNECT_LIMIT, Limits, Pool, Pooled, Prepare};
use super::session::{Link, Session};
use super::url::DatabaseAddress;

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
/// Connections above the first are given back to the server after so much idle time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// SQLite cuts its write-ahead log back to this many bytes after a burst.
const LOG_LIMIT: &str = "67108864";

/// The database. Cheap to clone; all clones share the pools.
#[derive(Clone)]
pub struct Db {
    backend: Backend,
    /// What it was made from.
    options: Arc<DatabaseSection>,
    /// Where it is, for error texts.
    place: Arc<str>,
    /// Of the URLs of locations, where they are encrypted.
    cipher: Option<Arc<LocationCipher>>,
}

#[derive(Clone)]
enum Backend {
    /// SQLite lets one connection write at a time: that one is ours to queue for, with a fair queue and no polling.
    Sqlite {
        write: Pool<SqliteConnection>,
        read: Pool<SqliteConnection>,
    },
    Postgres(Pool<PgConnection>),
    MySql(Pool<MySqlConnection>),
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens `[database] connection` and makes the first connection. A file of SQLite that is missing is created empty.
    ///
    /// `use_db_reconnect` and the `db_*retry*` options have no effect: operations are always repeated where that is
    /// safe. Neither have `slave_connection` (as upstream) and `connection_trace`.
    ///
    /// # Errors
    /// The first failure.
    pub async fn connect(options: &DatabaseSection) -> Result<Self, DbError> {
        let db = Self::open(options)?;
        db.reach().await?;
        Ok(db)
    }

    /// Whether the options can be used at all; contacts nobody.
    ///
    /// # Errors
    /// [`DbError::Url`]
    pub fn check(options: &DatabaseSection) -> Result<(), DbError> {
        let url = options.connection.as_ref().ok_or_else(|| DbError::Url("is not set".to_owned()))?;
        if let DatabaseAddress::MySql(_) = DatabaseAddress::parse(url.expose(), &options.connection_parameters)? {
            prepare_mysql(options)?;
        }
        Ok(())
    }

    /// As [`Self::connect`], with `max_retries` further attempts every `retry_interval` seconds while a server cannot be
    /// reached (`oslo_db/sqlalchemy/engines.py`). `waiting` is told of each failure, and within what time the next attempt
    /// will have an outcome.
    ///
    /// # Errors
    /// The last failure.
    pub async fn connect_patiently(
        options: &DatabaseSection,
        waiting: impl Fn(&DbError, Duration),
    ) -> Result<Self, DbError> {
        let db = Self::open(options)?;
        let pause = seconds(options.retry_interval);
        let mut attempts: i64 = 0;
        loop {
            let Err(error) = db.reach().await else { return Ok(db) };
            attempts += 1;
            let worth_it = matches!(error, DbError::Unreachable(_)) && db.dialect() != Dialect::Sqlite;
            if !worth_it || (options.max_retries >= 0 && attempts > options.max_retries) {
                return Err(error);
            }
            waiting(&error, pause + CONNECT_LIMIT);
            sleep(pause).await;
        }
    }

    /// The pools, without a connection yet.
    fn open(options: &DatabaseSection) -> Result<Self, DbError> {
        let url = options.connection.as_ref().ok_or_else(|| DbError::Url("is not set".to_owned()))?;
        let target = DatabaseAddress::parse(url.expose(), &options.connection_parameters)?;
        let place = target.place().into();
        let backend = match target {
            DatabaseAddress::Sqlite(path) => sqlite(&path, options),
            DatabaseAddress::Postgres(connect) => {
                let connect = connect.statement_cache_capacity(STATEMENTS).disable_statement_logging();
                Backend::Postgres(Pool::new(connect, None, server_limits(options)))
            }
            DatabaseAddress::MySql(connect) => {
                let connect = connect.statement_cache_capacity(STATEMENTS).disable_statement_logging();
                Backend::MySql(Pool::new(connect, Some(prepare_mysql(options)?), server_limits(options)))
            }
        };
        Ok(Self { backend, options: Arc::new(options.clone()), place, cipher: None })
    }

    /// Makes one connection, unless there is one.
    async fn reach(&self) -> Result<(), DbError> {
        self.writer().await.map(drop)
    }

    /// Whether these options would make the same connections, so that a reload can keep them.
    pub fn is_made_from(&self, options: &DatabaseSection) -> bool {
        *self.options == *options
    }

    /// The same database, with the URLs of locations encrypted, or plain.
    pub fn with_cipher(self, cipher: Option<LocationCipher>) -> Self {
        Self { cipher: cipher.map(Arc::new), ..self }
    }

    /// Which SQL the database speaks.
    pub fn dialect(&self) -> Dialect {
        match &self.backend {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
            Backend::MySql(_) => Dialect::MySql,
        }
    }

    /// Closes all connections after their present use.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Backend::Postgres(pool) => pool.close().await,
            Backend::MySql(pool) => pool.close().await,
        }
    }

    /// A connection for reading.
    #[cfg(test)]
    pub(super) async fn reader(&self) -> Result<Session, DbError> {
        self.session(false, || ()).await
    }

    /// A connection that may write.
    pub(super) async fn writer(&self) -> Result<Session, DbError> {
        self.session(true, || ()).await
    }

    /// A connection. `on_turn` is called once it is sure that there will be one unless the database is away: until then,
    /// whoever waits may be dropped.
    pub(super) async fn session(&self, writes: bool, on_turn: impl FnOnce()) -> Result<Session, DbError> {
        let link = match &self.backend {
            Backend::Sqlite { write, read } => {
                Link::Sqlite(self.connection(if writes { write } else { read }, on_turn).await?)
            }
            Backend::Postgres(pool) => Link::Postgres(self.connection(pool, on_turn).await?),
            Backend::MySql(pool) => Link::MySql(self.connection(pool, on_turn).await?),
        };
        Ok(Session::new(link, self.cipher.clone()))
    }

    async fn connection<C: Connection + 'static>(
        &self,
        pool: &Pool<C>,
        on_turn: impl FnOnce(),
    ) -> Result<Pooled<C>, DbError> {
        let turn = pool.turn().await?;
        on_turn();
        turn.connection().await.map_err(|error| DbError::of_connecting(error, &self.place))
    }
}

fn sqlite(path: &Path, options: &DatabaseSection) -> Backend {
    // A power cut must not take back what was answered: in WAL mode, only FULL flushes each commit. OFF is upstream's
    // meaning of `sqlite_synchronous = false`. The journal mode is that of the file; see `create_schema`.
    let synchronous = if options.sqlite_synchronous { SqliteSynchronous::Full } else { SqliteSynchronous::Off };
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(synchronous)
        .pragma("journal_size_limit", LOG_LIMIT)
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(256)
        .thread_name(|id| format!("sqlite-{id}"))
        .disable_statement_logging();
    let limits =
        |connections| Limits { connections, wait: pool_timeout(options), trusted_idle: None, idle: None, age: None };
    let write = Pool::new(connect.clone(), None, limits(1));
    // Reading is work of the processor: more connections than cores only queue elsewhere.
    let readers = available_parallelism().map_or(1, usize::from).clamp(2, most_connections(options).max(2));
    let read = Pool::new(connect.pragma("query_only", "ON"), None, limits(readers));
    Backend::Sqlite { write, read }
}

/// What is set in each connection: what the options want, and that a list does not intersect indexes of columns that say little,
/// such as `deleted` and `os_hidden`, which takes a second where there are many images.
fn prepare_mysql(options: &DatabaseSection) -> Result<Prepare<MySqlConnection>, DbError> {
    let mut settings = vec!["SESSION optimizer_switch = 'index_merge_intersection=off'".to_owned()];
    if !options.mysql_sql_mode.is_empty() {
        let mode = &options.mysql_sql_mode;
        if !mode.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_, ".contains(&byte)) {
            return Err(DbError::Url("mysql_sql_mode is not a list of names".to_owned()));
        }
        settings.push(format!("SESSION sql_mode = '{mode}'"));
    }
    if let Some(wait) = options.mysql_wsrep_sync_wait {
        settings.push(format!("SESSION wsrep_sync_wait = {wait}"));
    }
    let sql: Arc<str> = format!("SET {}", settings.join(", ")).into();
    Ok(Arc::new(move |connection: &mut MySqlConnection| {
        let sql = Arc::clone(&sql);
        Box::pin(async move { connection.execute(AssertSqlSafe(sql)).await.map(drop) })
    }))
}

fn server_limits(options: &DatabaseSection) -> Limits {
    let recycle = options.connection_recycle_time;
    Limits {
        connections: most_connections(options),
        wait: pool_timeout(options),
        trusted_idle: Some(TRUSTED_IDLE),
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

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn section(url: &str) -> DatabaseSection {
        DatabaseSection { connection: Some(Secret::from(url)), ..DatabaseSection::default() }
    }

    #[tokio::test]
    async fn one_writer_and_some_readers() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&section(&format!("sqlite:///{}/a.db", folder.path().display()))).await.unwrap();
        let Backend::Sqlite { write, read } = &db.backend else { panic!() };
        assert_eq!(write.limits().connections, 1);
        assert!(read.limits().connections >= 2);
        assert_eq!(format!("{db:?}"), "Db { dialect: Sqlite, .. }");
    }

    #[tokio::test]
    async fn a_missing_directory_is_told_at_once() {
        let start = std::time::Instant::now();
        let error = Db::connect(&section("sqlite:////nowhere/at/all.db")).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(matches!(error, DbError::Refused(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_tried_as_often_as_configured() {
        let mut options = section("postgresql://u:s3cret@127.0.0.1:1/n");
        (options.max_retries, options.retry_interval) = (2, 0);
        let start = std::time::Instant::now();
        let told = std::cell::RefCell::new(Vec::new());
        let waiting = |error: &DbError, next| told.borrow_mut().push((format!("{error:?}"), next));
        let error = Db::connect_patiently(&options, waiting).await.unwrap_err();
        assert!(matches!(error, DbError::Unreachable(_)), "{error:?}");
        let told = told.into_inner();
        assert_eq!(told.len(), 2);
        for (error, next) in told.into_iter().chain([(format!("{error:?}"), CONNECT_LIMIT)]) {
            assert!(error.contains("ConnectionRefused") && !error.contains("s3cret"), "{error}");
            assert_eq!(next, CONNECT_LIMIT);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(matches!(Db::connect(&options).await, Err(DbError::Unreachable(_))));
    }

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
