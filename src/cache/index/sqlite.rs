//! The driver `sqlite`: a table in a file of the cache's directory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqlitePool};
use time::OffsetDateTime;

use super::{Entry, Index, IndexError, seconds};

/// How long a writer waits for the others of this host, as upstream's do.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const CREATE: &str = "CREATE TABLE IF NOT EXISTS cached_images (image_id TEXT PRIMARY KEY, last_accessed REAL DEFAULT 0.0, \
                      last_modified REAL DEFAULT 0.0, size INTEGER DEFAULT 0, hits INTEGER DEFAULT 0, checksum TEXT)";

/// Rows of one statement: SQLite once took no more than 999 values.
const ROWS: usize = 100;

pub(in crate::cache) struct SqliteIndex {
    pool: SqlitePool,
    has_table: AtomicBool,
}

impl SqliteIndex {
    /// The file is opened when it is needed.
    pub(in crate::cache) fn new(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(3 * BUSY_TIMEOUT)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options);
        Self { pool, has_table: AtomicBool::new(false) }
    }
}

impl Index for SqliteIndex {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Entry>, IndexError>> {
        async {
            let rows = sqlx::query(
                "SELECT image_id, hits, last_accessed, last_modified, size FROM cached_images ORDER BY image_id",
            );
            let rows = rows.fetch_all(&self.pool).await?;
            let entry = |row: &sqlx::sqlite::SqliteRow| {
                Ok(Entry {
                    id: None,
                    image_id: row.try_get("image_id")?,
                    size: unsigned(row.try_get("size")?),
                    hits: unsigned(row.try_get("hits")?),
                    last_accessed: time(row.try_get("last_accessed")?),
                    last_modified: time(row.try_get("last_modified")?),
                    checksum: None,
                })
            };
            rows.iter().map(entry).collect()
        }
        .boxed()
    }

    /// Makes the table where there is none.
    fn prepare(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        async {
            if !self.has_table.load(Ordering::Relaxed) {
                sqlx::query(CREATE).execute(&self.pool).await?;
                self.has_table.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
        .boxed()
    }

    fn least_recently_accessed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, IndexError>> {
        async move {
            let ids = sqlx::query_scalar("SELECT image_id FROM cached_images ORDER BY last_accessed, image_id LIMIT ?");
            Ok(ids.bind(limit).fetch_all(&self.pool).await?)
        }
        .boxed()
    }

    fn insert(&self, entry: Entry) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            self.prepare().await?;
            let insert = sqlx::query(
                "INSERT OR REPLACE INTO cached_images (image_id, last_accessed, last_modified, hits, size) VALUES (?, ?, ?, ?, ?)",
            );
            insert
                .bind(entry.image_id)
                .bind(seconds(entry.last_accessed))
                .bind(seconds(entry.last_modified))
                .bind(signed(entry.hits))
                .bind(signed(entry.size))
                .execute(&self.pool)
                .await?;
            Ok(())
        }
        .boxed()
    }

    fn insert_unknown(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            self.prepare().await?;
            for entries in entries.chunks(ROWS) {
                let mut insert = QueryBuilder::<Sqlite>::new(
                    "INSERT OR IGNORE INTO cached_images (image_id, last_accessed, last_modified, hits, size) ",
                );
                insert.push_values(entries, |mut row, entry| {
                    row.push_bind(&entry.image_id)
                        .push_bind(seconds(entry.last_accessed))
                        .push_bind(seconds(entry.last_modified))
                        .push_bind(signed(entry.hits))
                        .push_bind(signed(entry.size));
                });
                insert.build().execute(&self.pool).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn count<'a>(&'a self, id: &'a str, hits: u64, at: OffsetDateTime) -> BoxFuture<'a, Result<(), IndexError>> {
        async move {
            let update = sqlx::query("UPDATE cached_images SET hits = hits + ?, last_accessed = ? WHERE image_id = ?");
            update.bind(signed(hits)).bind(seconds(at)).bind(id).execute(&self.pool).await?;
            Ok(())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<(), IndexError>> {
        async move {
            for ids in ids.chunks(ROWS) {
                let mut delete = QueryBuilder::<Sqlite>::new("DELETE FROM cached_images WHERE image_id IN ");
                delete.push_tuples(ids, |mut row, id| {
                    row.push_bind(id);
                });
                delete.build().execute(&self.pool).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        async {
            sqlx::query("DELETE FROM cached_images").execute(&self.pool).await?;
            Ok(())
        }
        .boxed()
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn time(seconds: f64) -> OffsetDateTime {
    let since = time::Duration::checked_seconds_f64(seconds).unwrap_or(time::Duration::ZERO);
    OffsetDateTime::UNIX_EPOCH.checked_add(since).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
