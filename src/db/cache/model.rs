//! Rows of `cached_images`.

use time::PrimitiveDateTime;

use crate::db::clock;
use crate::db::error::DbError;
use crate::db::model::EPOCH;
use crate::db::row::Columns;
use crate::db::unreadable::TableRow;

/// An image in the cache of a node (upstream: `CachedImages` in `glance/db/sqlalchemy/models.py`). Times are naive UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedImageRecord {
    pub id: i64,
    pub image_id: String,
    pub last_accessed: PrimitiveDateTime,
    pub last_modified: PrimitiveDateTime,
    /// Bytes.
    pub size: i64,
    /// How often it was read from the cache.
    pub hits: i64,
    /// MD5 of the image's data, in hexadecimal.
    pub checksum: Option<String>,
}

/// An image that has come into the cache of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCachedImage {
    pub image_id: String,
    /// Bytes.
    pub size: i64,
    pub checksum: Option<String>,
    pub last_accessed: PrimitiveDateTime,
    pub last_modified: PrimitiveDateTime,
    pub hits: i64,
}

impl NewCachedImage {
    /// One that came just now and that nobody has read.
    pub fn new(image_id: impl Into<String>, size: i64) -> Self {
        let now = clock::now();
        Self { image_id: image_id.into(), size, checksum: None, last_accessed: now, last_modified: now, hits: 0 }
    }
}

pub(super) const TABLE: &str = "cached_images";

/// The columns of `cached_images` in the order in which they are read.
pub(super) const COLUMNS: [&str; 7] = ["id", "image_id", "last_accessed", "last_modified", "size", "hits", "checksum"];

impl CachedImageRecord {
    /// Reads [`COLUMNS`]. Something stands in for what cannot be read, see [`unreadable`](crate::db::unreadable); `None`: it cannot be
    /// told which image it is.
    pub(super) fn read(columns: &mut Columns<'_>) -> Result<Option<Self>, DbError> {
        let id = columns.integer()?;
        let row = TableRow::new(TABLE, &id);
        let Some(image_id) = row.or(columns.text().map(Some), || None) else { return Ok(None) };
        Ok(Some(Self {
            id,
            image_id,
            last_accessed: row.or(columns.time(), || EPOCH),
            last_modified: row.or(columns.time(), || EPOCH),
            size: row.or(columns.integer(), || 0),
            hits: row.or(columns.integer(), || 0),
            checksum: row.or(columns.maybe_text(), || None),
        }))
    }
}
