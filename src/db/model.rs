//! Rows as the domain sees them, and what it asks for.

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

/// An image to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewImage {
    pub id: String,
    pub name: Option<String>,
    pub size: Option<i64>,
    pub virtual_size: Option<i64>,
    pub status: String,
    pub visibility: String,
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    /// An empty text is stored as none.
    pub owner: Option<String>,
    pub min_disk: i32,
    pub min_ram: i32,
    pub protected: bool,
    pub os_hidden: bool,
    /// The present if `None`.
    pub created_at: Option<PrimitiveDateTime>,
    /// The present if `None`.
    pub updated_at: Option<PrimitiveDateTime>,
    pub properties: Vec<(String, Option<String>)>,
    /// A tag that comes again is dropped.
    pub tags: Vec<String>,
    pub locations: Vec<LocationRecord>,
}

impl NewImage {
    /// A queued, shared image without anything else.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: None,
            size: None,
            virtual_size: None,
            status: "queued".to_owned(),
            visibility: "shared".to_owned(),
            disk_format: None,
            container_format: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            owner: None,
            min_disk: 0,
            min_ram: 0,
            protected: false,
            os_hidden: false,
            created_at: None,
            updated_at: None,
            properties: Vec::new(),
            tags: Vec::new(),
            locations: Vec::new(),
        }
    }
}

/// What is to be different about an image; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageUpdate {
    pub name: Option<Option<String>>,
    pub size: Option<Option<i64>>,
    pub virtual_size: Option<Option<i64>>,
    pub status: Option<String>,
    pub visibility: Option<String>,
    pub disk_format: Option<Option<String>>,
    pub container_format: Option<Option<String>>,
    pub checksum: Option<Option<String>>,
    pub os_hash_algo: Option<Option<String>>,
    pub os_hash_value: Option<Option<String>>,
    /// An empty text is stored as none.
    pub owner: Option<Option<String>>,
    pub min_disk: Option<i32>,
    pub min_ram: Option<i32>,
    pub protected: Option<bool>,
    pub os_hidden: Option<bool>,
    /// All custom properties that the image is to have; others are deleted, unless
    /// [`Self::other_properties`] says otherwise.
    /// The properties in [`ATOMIC_PROPERTIES`](super::images::ATOMIC_PROPERTIES) are neither set nor deleted by this.
    pub properties: Option<Vec<(String, Option<String>)>>,
    /// What happens to properties that [`Self::properties`] does not name.
    pub other_properties: OtherProperties,
    /// All tags that the image is to have, new ones in this order.
    pub tags: Option<Vec<String>>,
    /// All locations that the image is to have: with an id, a row of this image to be kept and brought up to date;
    /// without, a new one. Others become `deleted`.
    pub locations: Option<Vec<LocationRecord>>,
}

/// The fate of custom properties that an update does not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OtherProperties {
    /// All go.
    #[default]
    Delete,
    /// Those of these names go; the rest stays, also what another request has just added.
    DeleteNamed(Vec<String>),
}
