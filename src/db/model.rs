//! Rows as the domain sees them.

use time::PrimitiveDateTime;

/// An image with everything that hangs on it (upstream: `glance/db/sqlalchemy/models.py`). Times are naive UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRecord {
    pub id: String,
    pub name: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// Bytes of the disk that the image describes.
    pub virtual_size: Option<i64>,
    pub status: String,
    pub visibility: String,
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    /// MD5 in hex.
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    pub owner: Option<String>,
    /// GiB.
    pub min_disk: i32,
    /// MiB.
    pub min_ram: i32,
    pub protected: bool,
    pub os_hidden: bool,
    pub created_at: PrimitiveDateTime,
    pub updated_at: PrimitiveDateTime,
    pub deleted_at: Option<PrimitiveDateTime>,
    pub deleted: bool,
    /// Custom properties that are not deleted, in the order of their rows.
    pub properties: Vec<(String, Option<String>)>,
    /// Tags, in the order of their rows.
    pub tags: Vec<String>,
    /// Locations that are not deleted, in the order of their rows.
    pub locations: Vec<LocationRecord>,
}

/// One place where an image's data lies.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationRecord {
    /// Row id; `None` while not stored.
    pub id: Option<i64>,
    pub url: String,
    /// `active`, `pending_delete` or `deleted`.
    pub status: String,
    /// Upstream's pickled or JSON dictionary, always with the store's id under `store` in a multi-store cloud.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// A project with which an image is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRecord {
    pub image_id: String,
    pub member: String,
    pub can_share: bool,
    /// `pending`, `accepted` or `rejected`.
    pub status: String,
    pub created_at: PrimitiveDateTime,
    pub updated_at: PrimitiveDateTime,
}
