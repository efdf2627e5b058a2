//! The driver `centralized_db`: the tables of the service's database, which all nodes share.

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::sqlite::SqliteIndex;
use super::{Entry, Index, IndexError};
use crate::db::Db;
use crate::db::cache::{self as rows, CachedImageRecord, NewCachedImage};

pub(in crate::cache) struct CentralIndex {
    db: Db,
    /// This node's name among others.
    node: String,
    /// Where the driver `sqlite` kept its table.
    sqlite: PathBuf,
    /// The others know this node.
    is_registered: tokio::sync::Mutex<bool>,
}

impl CentralIndex {
    /// `sqlite`: where the driver `sqlite` kept its table, if there was one.
    pub(super) fn new(db: &Db, node: &str, sqlite: PathBuf) -> Self {
        Self { db: db.clone(), node: node.to_owned(), sqlite, is_registered: tokio::sync::Mutex::default() }
    }

    /// Takes over the rows of the driver `sqlite`, which many clouds had before (upstream: `glance/sqlite_migration.py`). What cannot be
    /// read is left as it is.
    async fn adopt(&self, sqlite: &Path) {
        if !tokio::fs::try_exists(sqlite).await.unwrap_or(false) {
            return;
        }
        if let Err(error) = self.move_rows(sqlite).await {
            tracing::warn!(%error, "the counters of the cache driver sqlite cannot be taken over");
        }
    }

    async fn move_rows(&self, sqlite: &Path) -> Result<(), IndexError> {
        let before = SqliteIndex::new(sqlite);
        before.prepare().await?;
        let entries = before.list().await?;
        let ids: Vec<String> = entries.iter().map(|entry| entry.image_id.clone()).collect();
        self.add_unknown(entries).await?;
        before.remove(&ids).await
    }

    async fn add_unknown(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        Ok(rows::add_unknown(&self.db, &self.node, entries.into_iter().map(new).collect()).await?)
    }
}

impl Index for CentralIndex {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Entry>, IndexError>> {
        async {
            let records = rows::list(&self.db, &self.node).await?;
            Ok(records.into_iter().map(entry).collect())
        }
        .boxed()
    }

    /// Makes the node known to the others.
    fn prepare(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        async {
            let mut is_registered = self.is_registered.lock().await;
            if !*is_registered {
                rows::register_node(&self.db, &self.node).await?;
                self.adopt(&self.sqlite).await;
                *is_registered = true;
            }
            Ok(())
        }
        .boxed()
    }

    fn least_recently_accessed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, IndexError>> {
        async move { Ok(rows::least_recently_accessed(&self.db, &self.node, limit.into()).await?) }.boxed()
    }

    fn insert(&self, entry: Entry) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            self.prepare().await?;
            if !rows::add(&self.db, &self.node, new(entry.clone())).await? {
                rows::remove(&self.db, &self.node, std::slice::from_ref(&entry.image_id)).await?;
                rows::add(&self.db, &self.node, new(entry)).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn insert_unknown(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            self.prepare().await?;
            self.add_unknown(entries).await
        }
        .boxed()
    }

    fn count<'a>(&'a self, id: &'a str, hits: u64, at: OffsetDateTime) -> BoxFuture<'a, Result<(), IndexError>> {
        let hits = u32::try_from(hits).unwrap_or(u32::MAX);
        async move {
            rows::count_hits(&self.db, &self.node, id, hits, naive(at)).await?;
            Ok(())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<(), IndexError>> {
        async move {
            rows::remove(&self.db, &self.node, ids).await?;
            Ok(())
        }
        .boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        async {
            rows::remove_all(&self.db, &self.node).await?;
            Ok(())
        }
        .boxed()
    }

    fn nodes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, IndexError>> {
        async move { Ok(rows::nodes(&self.db, id).await?) }.boxed()
    }

    fn is_central(&self) -> bool {
        true
    }
}

fn entry(record: CachedImageRecord) -> Entry {
    Entry {
        id: Some(record.id),
        image_id: record.image_id,
        size: u64::try_from(record.size).unwrap_or(0),
        hits: u64::try_from(record.hits).unwrap_or(0),
        last_accessed: record.last_accessed.assume_utc(),
        last_modified: record.last_modified.assume_utc(),
        checksum: record.checksum,
    }
}

fn new(entry: Entry) -> NewCachedImage {
    NewCachedImage {
        image_id: entry.image_id,
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        checksum: entry.checksum,
        last_accessed: naive(entry.last_accessed),
        last_modified: naive(entry.last_modified),
        hits: i64::try_from(entry.hits).unwrap_or(i64::MAX),
    }
}

fn naive(time: OffsetDateTime) -> PrimitiveDateTime {
    let time = time.to_offset(UtcOffset::UTC);
    PrimitiveDateTime::new(time.date(), time.time())
}
