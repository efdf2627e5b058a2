//! Rows as the domain sees them, and what it asks for.

use std::collections::HashSet;

use sea_query::Value;
use time::PrimitiveDateTime;
use time::macros::datetime;

use super::cell::Cell;
use super::clock;
use super::row::Columns;
use super::unreadable;

/// Stands in for a time that is none.
pub(super) const EPOCH: PrimitiveDateTime = datetime!(1970-01-01 0:00);

/// Stands in for an owner that cannot be read. No project has this id, so the image belongs to nobody but administrators; with no
/// owner at all, everybody would see it.
pub(super) const UNREADABLE_OWNER: &str = "\u{fffd} unreadable owner \u{fffd}";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Flag,
    Time,
}

/// Declares the columns of `images` (upstream: `glance/db/sqlalchemy/models.py`), in the order in which they are read.
///
/// `given` are those that come from whoever creates or changes an image; the others are the database's own. What an image is to clients
/// says `image::Image`.
macro_rules! image_table {
    (given { $($(#[$doc:meta])* $field:ident: $type:ty, $column:ident;)* }) => {
        /// A column of `images`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Column {
            Id,
            $($column,)*
            CreatedAt,
            UpdatedAt,
            DeletedAt,
            Deleted,
        }

        impl Column {
            /// All columns, in the order in which they are read.
            pub(super) const ALL: &[Self] = &[
                Self::Id,
                $(Self::$column,)*
                Self::CreatedAt,
                Self::UpdatedAt,
                Self::DeletedAt,
                Self::Deleted,
            ];

            /// The name of the column.
            pub fn name(self) -> &'static str {
                match self {
                    Self::Id => "id",
                    $(Self::$column => stringify!($field),)*
                    Self::CreatedAt => "created_at",
                    Self::UpdatedAt => "updated_at",
                    Self::DeletedAt => "deleted_at",
                    Self::Deleted => "deleted",
                }
            }

            /// The column with this name; no search, as an image document asks for each of its properties.
            pub fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    "id" => Self::Id,
                    $(stringify!($field) => Self::$column,)*
                    "created_at" => Self::CreatedAt,
                    "updated_at" => Self::UpdatedAt,
                    "deleted_at" => Self::DeletedAt,
                    "deleted" => Self::Deleted,
                    _ => return None,
                })
            }

            /// What the column holds.
            pub fn kind(self) -> Kind {
                match self {
                    Self::Id => Kind::Text,
                    $(Self::$column => <$type as Cell>::KIND,)*
                    Self::CreatedAt | Self::UpdatedAt | Self::DeletedAt => Kind::Time,
                    Self::Deleted => Kind::Flag,
                }
            }

            /// Whether the column may be NULL.
            pub(super) fn is_nullable(self) -> bool {
                match self {
                    Self::Id | Self::CreatedAt | Self::Deleted => false,
                    $(Self::$column => <$type as Cell>::IS_NULLABLE,)*
                    Self::UpdatedAt | Self::DeletedAt => true,
                }
            }
        }

        /// An image with everything that hangs on it. Times are naive UTC.
        #[derive(Clone, Debug, PartialEq)]
        pub struct ImageRecord {
            pub id: String,
            $($(#[$doc])* pub $field: $type,)*
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

        impl ImageRecord {
            /// Reads [`Column::ALL`]. Something stands in for what cannot be read, see [`unreadable`]; it never makes more of the
            /// image than it is.
            pub(super) fn read(columns: &mut Columns<'_>) -> Self {
                let id = unreadable::or("?", columns.text(), String::new);
                $(let $field = unreadable::or(&id, Cell::read(columns), || Cell::stand_in(Column::$column));)*
                let created_at = unreadable::or(&id, columns.time(), || EPOCH);
                // The column may be NULL, though nothing writes that.
                let updated_at = unreadable::or(&id, columns.maybe_time(), || None).unwrap_or(created_at);
                let deleted_at = unreadable::or(&id, columns.maybe_time(), || None);
                let deleted = unreadable::or(&id, columns.flag(), || false);
                Self {
                    id,
                    $($field,)*
                    created_at,
                    updated_at,
                    deleted_at,
                    deleted,
                    properties: Vec::new(),
                    tags: Vec::new(),
                    locations: Vec::new(),
                }
            }
        }

        /// An image to be created.
        #[derive(Clone, Debug, PartialEq)]
        pub struct NewImage {
            pub id: String,
            $($(#[$doc])* pub $field: $type,)*
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
                let empty = Self {
                    id: id.into(),
                    $($field: Default::default(),)*
                    created_at: None,
                    updated_at: None,
                    properties: Vec::new(),
                    tags: Vec::new(),
                    locations: Vec::new(),
                };
                Self { status: "queued".to_owned(), visibility: "shared".to_owned(), ..empty }
            }

            /// What is given, by column.
            pub(super) fn given(&self) -> Vec<(Column, Value)> {
                vec![$((Column::$column, self.$field.value()),)*]
            }

            /// The columns of [`Self::given`].
            pub(super) const GIVEN: &[Column] = &[$(Column::$column,)*];

            /// The image as it is read after it was stored at this time, on databases that keep every value as it is.
            pub(crate) fn to_record(&self, now: PrimitiveDateTime) -> ImageRecord {
                let mut seen = HashSet::new();
                let record = ImageRecord {
                    id: self.id.clone(),
                    $($field: self.$field.clone(),)*
                    created_at: clock::to_micros(self.created_at.unwrap_or(now)),
                    updated_at: clock::to_micros(self.updated_at.unwrap_or(now)),
                    deleted_at: None,
                    deleted: false,
                    properties: self.properties.clone(),
                    tags: self.tags.iter().filter(|tag| seen.insert(tag.as_str())).cloned().collect(),
                    locations: self.locations.clone(),
                };
                ImageRecord { owner: record.owner.filter(|owner| !owner.is_empty()), ..record }
            }
        }

        /// What is to be different about an image; `None` leaves a thing as it is.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct ImageUpdate {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// All custom properties that the image is to have; others are deleted, unless
            /// [`Self::other_properties`] says otherwise.
            /// The property by which a [task has an image for itself](super::images::TaskLock) is neither set nor deleted by this.
            pub properties: Option<Vec<(String, Option<String>)>>,
            /// What happens to properties that [`Self::properties`] does not name.
            pub other_properties: OtherProperties,
            /// All tags that the image is to have, new ones in this order.
            pub tags: Option<Vec<String>>,
            /// All locations that the image is to have: with an id, a row of this image to be kept and brought up to date;
            /// without, a new one. What becomes of others says [`Self::other_locations`].
            pub locations: Option<Vec<LocationRecord>>,
            /// The active locations on which [`Self::locations`] is based: if the image has others by now, nothing is changed.
            /// Locations in another status stay as they are.
            pub read_locations: Option<Vec<LocationRecord>>,
            /// What happens to locations that [`Self::locations`] does not have.
            pub other_locations: OtherLocations,
        }

        impl ImageUpdate {
            /// What is given, by column.
            pub(super) fn given(&self) -> Vec<(Column, Value)> {
                let mut given = Vec::new();
                $(given.extend(self.$field.as_ref().map(|value| (Column::$column, value.value())));)*
                given
            }
        }
    };
}

image_table! {
    given {
        name: Option<String>, Name;
        /// Bytes.
        size: Option<i64>, Size;
        /// Bytes of the disk that the image describes.
        virtual_size: Option<i64>, VirtualSize;
        status: String, Status;
        visibility: String, Visibility;
        disk_format: Option<String>, DiskFormat;
        container_format: Option<String>, ContainerFormat;
        /// MD5 in hex.
        checksum: Option<String>, Checksum;
        os_hash_algo: Option<String>, OsHashAlgo;
        os_hash_value: Option<String>, OsHashValue;
        /// An empty text is stored as none.
        owner: Option<String>, Owner;
        /// GiB.
        min_disk: i32, MinDisk;
        /// MiB.
        min_ram: i32, MinRam;
        protected: bool, Protected;
        os_hidden: bool, OsHidden;
    }
}

/// The statuses of locations whose data is still on its way (upstream: `glance/async_/flows/parallel_api_image_import.py`).
pub(super) const ON_THEIR_WAY: [&str; 2] = ["pending", "uploading"];

/// The key of a location's metadata under which it names its store.
const STORE: &str = "store";

/// One place where an image's data lies.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationRecord {
    /// Row id; `None` while not stored.
    pub id: Option<i64>,
    pub url: String,
    /// `active`, `pending_delete` or `deleted`; `pending` or `uploading` while an import is to write there.
    pub status: String,
    /// Upstream's pickled or JSON dictionary, always with the store's id under `store` in a multi-store cloud.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl LocationRecord {
    /// A location that is not stored yet, with data that is there.
    pub fn active(url: String, metadata: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { id: None, url, status: "active".to_owned(), metadata }
    }

    /// A location that is not stored yet, and whose data is still on its way.
    pub fn placeholder(url: String, metadata: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { id: None, url, status: "uploading".to_owned(), metadata }
    }

    /// The id of the store that has the data, where the location names one.
    pub fn store(&self) -> Option<&str> {
        self.metadata.get(STORE)?.as_str()
    }

    /// Names the store that has the data.
    pub fn set_store(&mut self, id: &str) {
        self.metadata.insert(STORE.to_owned(), id.into());
    }

    /// Whether data can be read there.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// Whether it stands for a location whose data is still on its way.
    pub fn is_placeholder(&self) -> bool {
        ON_THEIR_WAY.contains(&self.status.as_str())
    }
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

/// The fate of locations that an update does not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherLocations {
    /// They are `deleted`.
    #[default]
    Delete,
    /// They are `pending_delete`: their data is left to the scrubber.
    Schedule,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::row::Row;

    #[test]
    fn every_column_is_found_by_its_name() {
        assert_eq!(Column::ALL.len(), 20);
        for &column in Column::ALL {
            assert_eq!(Column::from_name(column.name()), Some(column));
        }
        assert_eq!(Column::from_name("metadata"), None);
    }

    /// A row of which nothing can be read.
    struct Unreadable;

    impl Row for Unreadable {
        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn text(&self, _: usize) -> Result<Option<String>, sqlx::Error> {
            Err(sqlx::Error::Decode("no text".into()))
        }

        fn integer(&self, _: usize) -> Result<Option<i64>, sqlx::Error> {
            Err(sqlx::Error::Decode("no number".into()))
        }

        fn flag(&self, _: usize) -> Result<Option<bool>, sqlx::Error> {
            Err(sqlx::Error::Decode("no flag".into()))
        }

        fn time(&self, _: usize) -> Result<Option<PrimitiveDateTime>, sqlx::Error> {
            Err(sqlx::Error::Decode("no time".into()))
        }
    }

    #[test]
    fn what_cannot_be_read_opens_nothing() {
        let image = ImageRecord::read(&mut Columns::of(&Unreadable));
        assert_eq!(image.owner.as_deref(), Some(UNREADABLE_OWNER));
        assert!(image.protected && !image.os_hidden && !image.deleted);
        assert_eq!((image.status.as_str(), image.visibility.as_str(), image.name), ("", "", None));
    }

    #[test]
    fn only_what_is_given_is_written() {
        assert_eq!(NewImage::new("i").given().len(), 15);
        assert_eq!(ImageUpdate::default().given(), []);
        let change = ImageUpdate { size: Some(None), os_hidden: Some(true), ..ImageUpdate::default() };
        let expected = [(Column::Size, Value::BigInt(None)), (Column::OsHidden, Value::Bool(Some(true)))];
        assert_eq!(change.given(), expected);
    }
}
