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

use crate::db::DbError;

pub(super) use open::{OpenError, open};

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
}

/// A driver of upstream's (`glance/image_cache/drivers/`), without the files.
pub(super) trait Index: Send + Sync {
    /// Marks a file that is about to become a cached image. Blocks.
    fn mark(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    /// All images, in upstream's order.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Entry>, IndexError>>;

    /// Takes an image up. Where it is known already, it counts as new.
    fn insert(&self, entry: Entry) -> BoxFuture<'_, Result<(), IndexError>>;

    /// Counts hits.
    fn count<'a>(&'a self, id: &'a str, hits: u64, at: OffsetDateTime) -> BoxFuture<'a, Result<(), IndexError>>;

    /// Forgets an image; fine where it is not known.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), IndexError>>;

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

#[cfg(test)]
mod tests;
