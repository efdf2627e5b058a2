//! What is known of the cached images beside their data: how often and when they were read. Upstream's three drivers differ in this alone.

mod central;
mod open;
mod sqlite;
mod xattr;

use std::fs::File;
use std::io;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use super::blocking::is_passing;
use crate::db::DbError;

pub(super) use open::{OpenError, node, open};

/// A cached image, as the index has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The number of its row, where it has one that clients see.
    pub(super) id: Option<i64>,
    pub(super) image_id: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) hits: u64,
    pub(super) last_accessed: OffsetDateTime,
    pub(super) last_modified: OffsetDateTime,
    pub(super) checksum: Option<String>,
}

impl Entry {
    /// An image that nobody has read since this time.
    pub(super) fn new(image_id: &str, size: u64, since: OffsetDateTime) -> Self {
        let image_id = image_id.to_owned();
        Self { id: None, image_id, size, hits: 0, last_accessed: since, last_modified: since, checksum: None }
    }
}

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "a double is what upstream keeps")]
pub(super) fn seconds(time: OffsetDateTime) -> f64 {
    time.unix_timestamp() as f64 + f64::from(time.nanosecond()) / 1e9
}

/// The index cannot be read or written. The images themselves can be served all the same.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("the table of cached images: {0}")]
    Table(#[from] DbError),
    #[error("the SQLite database of the image cache: {0}")]
    Sqlite(#[from] sqlx::Error),
    #[error("the attributes of cached images: {0}")]
    Attributes(#[from] io::Error),
    #[error("it does not answer")]
    NoAnswer,
}

impl IndexError {
    /// Whether the same may succeed later without anybody changing the configuration.
    fn is_passing(&self) -> bool {
        self.is_of_disk() || matches!(self, Self::Table(error) if error.is_unavailable())
    }

    /// Whether a disk is in a state that can pass.
    pub(super) fn is_of_disk(&self) -> bool {
        match self {
            Self::Table(_) | Self::NoAnswer => false,
            Self::Sqlite(sqlx::Error::Database(error)) => error.code().is_some_and(|code| is_passing_in_sqlite(&code)),
            Self::Sqlite(error) => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut),
            Self::Attributes(error) => is_passing(error),
        }
    }
}

/// Whether SQLite could not get at its file, in contrast to one that is no database. `code`: an extended result code, whose lowest byte
/// is the primary one (<https://www.sqlite.org/rescode.html>).
fn is_passing_in_sqlite(code: &str) -> bool {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READONLY: i32 = 8;
    const IOERR: i32 = 10;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN))
}

/// A driver of upstream's (`glance/image_cache/drivers/`), without the files.
pub(super) trait Index: Send + Sync {
    /// Marks a file that is about to become a cached image. Blocks.
    fn mark(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    /// All images, in upstream's order.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Entry>, IndexError>>;

    /// Does what has to be done once before images are taken up, where that has not succeeded yet.
    fn prepare(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        async { Ok(()) }.boxed()
    }

    /// The ids of the images that were not read for the longest time, longest first, at most so many.
    fn least_recently_accessed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, IndexError>>;

    /// Takes an image up. Where it is known already, it counts as new.
    fn insert(&self, entry: Entry) -> BoxFuture<'_, Result<(), IndexError>>;

    /// Takes up those images that are not known yet.
    fn insert_unknown(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), IndexError>>;

    /// Counts hits.
    fn count<'a>(&'a self, id: &'a str, hits: u64, at: OffsetDateTime) -> BoxFuture<'a, Result<(), IndexError>>;

    /// Forgets images; fine where they are not known.
    fn remove<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<(), IndexError>>;

    /// Forgets all.
    fn clear(&self) -> BoxFuture<'_, Result<(), IndexError>>;

    /// The nodes whose cache has an image; none where nodes do not know each other.
    fn nodes<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Vec<String>, IndexError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    /// Whether all nodes keep one index.
    fn is_central(&self) -> bool {
        false
    }
}

/// The index in a file, whatever is configured.
#[cfg(test)]
pub(super) fn local(path: &std::path::Path) -> impl Index + use<> {
    sqlite::SqliteIndex::new(path)
}

#[cfg(test)]
mod tests;
