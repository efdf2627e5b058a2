//! The pools of connections.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use sqlx::mysql::MySqlPool;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Database, Executor, Pool};
use tokio::time::{sleep, timeout};

use crate::config::DatabaseSection;

use super::cipher::LocationCipher;
use super::error::DbError;
use super::session::{Link, Session};
use super::url::Target;

/// How long SQLite waits for a lock of another connection or process before it says that it is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLAlchemy's default for `pool_timeout`.
const POOL_TIMEOUT: u64 = 30;
/// How long the first connection to a server may take: PyMySQL's default for `connect_timeout`.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// "No limit" of the pool still needs one.
const MOST_CONNECTIONS: u32 = 1000;
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
    /// Of the URLs of locations, where they are encrypted.
    cipher: Option<Arc<LocationCipher>>,
}

#[derive(Clone)]
enum Backend {
    /// SQLite lets one connection write at a time: that one is ours to queue for, with a fair queue and no polling.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// The kinds of SQL that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
    /// MySQL and MariaDB.
    MySql,
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
        if let Target::MySql(_) = Target::parse(url.expose(), &options.connection_parameters)? {
            mysql_pool(options)?;
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
            waiting(&error, pause + FIRST_ANSWER);
            sleep(pause).await;
        }
    }

    /// The pools, without a connection yet.
    fn open(options: &DatabaseSection) -> Result<Self, DbError> {
        let url = options.connection.as_ref().ok_or_else(|| DbError::Url("is not set".to_owned()))?;
        let backend = match Target::parse(url.expose(), &options.connection_parameters)? {
            Target::Sqlite(path) => sqlite(&path, options),
            Target::Postgres(connect) => {
                let connect = connect.statement_cache_capacity(STATEMENTS).disable_statement_logging();
                Backend::Postgres(server_pool(options).connect_lazy_with(connect))
            }
            Target::MySql(connect) => {
                let connect = connect.statement_cache_capacity(STATEMENTS).disable_statement_logging();
                Backend::MySql(mysql_pool(options)?.connect_lazy_with(connect))
            }
        };
        Ok(Self { backend, options: Arc::new(options.clone()), cipher: None })
    }

    /// Makes one connection.
    async fn reach(&self) -> Result<(), DbError> {
        match &self.backend {
            Backend::Sqlite { .. } => self.writer().await.map(drop),
            Backend::Postgres(pool) => Ok(knock(pool).await?),
            Backend::MySql(pool) => Ok(knock(pool).await?),
        }
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

    pub(super) async fn reader(&self) -> Result<Session, DbError> {
        Ok(self.session(match &self.backend {
            Backend::Sqlite { read, .. } => Link::Sqlite(read.acquire().await?),
            Backend::Postgres(pool) => Link::Postgres(pool.acquire().await?),
            Backend::MySql(pool) => Link::MySql(pool.acquire().await?),
        }))
    }

    pub(super) async fn writer(&self) -> Result<Session, DbError> {
        match &self.backend {
            Backend::Sqlite { write, .. } => Ok(self.session(Link::Sqlite(write.acquire().await?))),
            Backend::Postgres(_) | Backend::MySql(_) => self.reader().await,
        }
    }

    fn session(&self, link: Link) -> Session {
        Session::new(link, self.cipher.clone())
    }
}

/// Makes a connection outside the pool, and closes it. The pool itself goes on asking a server that refuses until its own
/// time is up, and then has forgotten why.
async fn knock<DB: Database>(pool: &Pool<DB>) -> Result<(), sqlx::Error> {
    let options = pool.connect_options();
    let connection = timeout(FIRST_ANSWER, options.connect()).await.map_err(|_| {
        let words = format!("no answer within {} s", FIRST_ANSWER.as_secs());
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, words))
    })??;
    // It has served its purpose.
    let _ = connection.close().await;
    Ok(())
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
    let pool = || {
        PoolOptions::new()
            .acquire_timeout(pool_timeout(options))
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let write = pool().max_connections(1).connect_lazy_with(connect.clone());
    // Reading is work of the processor: more connections than cores only queue elsewhere.
    let readers = available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let read = pool()
        .max_connections(readers.clamp(2, most_connections(options).max(2)))
        .connect_lazy_with(connect.pragma("query_only", "ON"));
    Backend::Sqlite { write, read }
}

fn mysql_pool(options: &DatabaseSection) -> Result<PoolOptions<sqlx::MySql>, DbError> {
    let mut settings = Vec::new();
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
    let pool = server_pool(options);
    if settings.is_empty() {
        return Ok(pool);
    }
    let sql = format!("SET {}", settings.join(", "));
    Ok(pool.after_connect(move |connection, _| {
        let sql = sql.clone();
        Box::pin(async move { connection.execute(AssertSqlSafe(sql)).await.map(drop) })
    }))
}

fn server_pool<DB: Database>(options: &DatabaseSection) -> PoolOptions<DB> {
    let recycle = options.connection_recycle_time;
    PoolOptions::new()
        .max_connections(most_connections(options))
        .min_connections(1)
        .acquire_timeout(pool_timeout(options))
        .idle_timeout(IDLE_TIMEOUT)
        .max_lifetime((recycle > 0).then(|| seconds(recycle)))
        .test_before_acquire(false)
        .before_acquire(|connection: &mut DB::Connection, found| {
            Box::pin(async move {
                // A failed check makes the pool take another connection.
                Ok(found.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok())
            })
        })
}

/// `max_pool_size` + `max_overflow`; 0 and -1 respectively mean no limit.
fn most_connections(options: &DatabaseSection) -> u32 {
    if options.max_pool_size <= 0 || options.max_overflow < 0 {
        return MOST_CONNECTIONS;
    }
    let sum = options.max_pool_size.saturating_add(options.max_overflow);
    u32::try_from(sum).unwrap_or(MOST_CONNECTIONS).min(MOST_CONNECTIONS)
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
        assert_eq!(write.options().get_max_connections(), 1);
        assert!(read.options().get_max_connections() >= 2);
        assert_eq!(format!("{db:?}"), "Db { dialect: Sqlite, .. }");
    }

    #[tokio::test]
    async fn a_missing_directory_is_told_at_once() {
        let start = std::time::Instant::now();
        let error = Db::connect(&section("sqlite:////nowhere/at/all.db")).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(matches!(error, DbError::Statement(_) | DbError::Unreachable(_)), "{error:?}");
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
        for (error, next) in told.into_iter().chain([(format!("{error:?}"), FIRST_ANSWER)]) {
            assert!(error.contains("ConnectionRefused") && !error.contains("s3cret"), "{error}");
            assert_eq!(next, FIRST_ANSWER);
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
