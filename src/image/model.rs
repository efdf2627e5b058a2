//! An image as the domain and the API see it.

use serde_json::Value;
use time::PrimitiveDateTime;

use super::Error;
use super::field_value::FieldValue;
use super::fields;
use super::properties::Properties;
use super::status::Status;
use super::visibility::Visibility;
use crate::db::model::{Column, ImageRecord, ImageUpdate, LocationRecord, NewImage};
use crate::db::unreadable;

/// What puts a value that a client sends into a column.
pub(super) type Setter = fn(&mut Image, &Value) -> Result<(), Error>;

/// Declares [`Image`], and all that goes through its columns one by one.
///
/// The columns that come from whoever creates or changes an image stand in the order in which the image document shows them (upstream:
/// `_format_image` in `glance/api/v2/images.py`). Where clients may set one, a function of [`fields`] reads their values; all others are
/// set by the service alone. How a column is stored says [`crate::db::model`].
macro_rules! image_fields {
    ($($(#[$doc:meta])* $field:ident: $type:ty, $column:ident $(, set by $read:ident)?;)*) => {
        /// One image with everything that hangs on it (upstream: `glance/domain/__init__.py`, `Image`). Times are naive UTC.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Image {
            pub id: String,
            $($(#[$doc])* pub $field: $type,)*
            pub created_at: PrimitiveDateTime,
            pub updated_at: PrimitiveDateTime,
            /// Custom properties.
            pub properties: Properties,
            pub tags: Vec<String>,
            /// Active locations, best first.
            pub locations: Vec<LocationRecord>,
            /// The viewer's project, where it sees the image as a member.
            pub member: Option<String>,
        }

        impl Image {
            /// The columns that the image document shows, in its order.
            pub const COLUMNS: &[Column] = &[$(Column::$column,)* Column::Id, Column::CreatedAt, Column::UpdatedAt];

            /// What is in a column; `None` for those that are not in [`Image::COLUMNS`].
            pub fn value(&self, column: Column) -> Option<FieldValue<'_>> {
                Some(match column {
                    $(Column::$column => (&self.$field).into(),)*
                    Column::Id => (&self.id).into(),
                    Column::CreatedAt => (&self.created_at).into(),
                    Column::UpdatedAt => (&self.updated_at).into(),
                    Column::DeletedAt | Column::Deleted => return None,
                })
            }

            /// What puts a value that the schema has let through into a column; `None` where only the service may.
            pub(super) fn setter(column: Column) -> Option<Setter> {
                match column {
                    $($(Column::$column => Some(|image, value| {
                        image.$field = fields::$read(image, stringify!($field), value)?;
                        Ok(())
                    }),)?)*
                    _ => None,
                }
            }

            /// What the columns are to have that differ from those before.
            pub(super) fn changed_columns(&self, before: &Self) -> ImageUpdate {
                ImageUpdate {
                    $($field: (self.$field != before.$field).then(|| self.$field.clone().into()),)*
                    ..ImageUpdate::default()
                }
            }
        }

        impl From<ImageRecord> for Image {
            fn from(record: ImageRecord) -> Self {
                let ImageRecord {
                    id,
                    $($field,)*
                    created_at,
                    updated_at,
                    deleted_at: _,
                    deleted: _,
                    properties,
                    tags,
                    locations,
                } = record;
                Self {
                    id,
                    $($field: $field.into(),)*
                    created_at,
                    updated_at,
                    properties: properties.into(),
                    tags,
                    locations: locations.into_iter().filter(LocationRecord::is_active).collect(),
                    member: None,
                }
            }
        }

        impl From<Image> for NewImage {
            fn from(image: Image) -> Self {
                Self {
                    id: image.id,
                    $($field: image.$field.into(),)*
                    created_at: Some(image.created_at),
                    updated_at: Some(image.updated_at),
                    properties: image.properties.into(),
                    tags: image.tags,
                    locations: image.locations,
                }
            }
        }
    };
}

image_fields! {
    name: Option<String>, Name, set by name;
    disk_format: Option<String>, DiskFormat, set by format;
    container_format: Option<String>, ContainerFormat, set by format;
    visibility: Visibility, Visibility, set by visibility;
    /// Bytes; `None` while there is no data.
    size: Option<i64>, Size;
    /// Bytes of the disk inside; `None` where the format does not tell.
    virtual_size: Option<i64>, VirtualSize;
    status: Status, Status;
    /// MD5 in hex.
    checksum: Option<String>, Checksum;
    protected: bool, Protected, set by flag;
    /// MiB.
    min_ram: i32, MinRam, set by count;
    /// GiB.
    min_disk: i32, MinDisk, set by count;
    /// Project id.
    owner: Option<String>, Owner, set by owner;
    os_hidden: bool, OsHidden, set by flag;
    os_hash_algo: Option<String>, OsHashAlgo;
    os_hash_value: Option<String>, OsHashValue;
}

/// The properties that name the key of an encrypted image, and what is to become of it.
pub(crate) const KEY_PROPERTIES: [&str; 2] = ["cinder_encryption_key_id", "cinder_encryption_key_deletion_policy"];

/// The policy that gives the key up.
const DELETED_WITH_IMAGE: &str = "on_image_deletion";

/// The properties that together ask for the verification of a signature.
const SIGNATURE_PROPERTIES: [&str; 4] =
    ["img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"];

impl Image {
    /// A queued, shared image without anything else.
    pub fn new(id: impl Into<String>, now: PrimitiveDateTime) -> Self {
        NewImage::new(id).to_record(now).into()
    }

    /// The column that the image document shows under this name.
    pub fn column_named(name: &str) -> Option<Column> {
        Column::from_name(name).filter(|column| !matches!(column, Column::DeletedAt | Column::Deleted))
    }

    /// Takes any row: what no image should have is named in the log and shown as it is.
    pub(super) fn from_record(record: ImageRecord, project: Option<&str>) -> Self {
        let mut image = Self::from(record);
        if let Status::Unknown(word) = image.status {
            unreadable::report(&image.id, &format_args!("status is {word:?}"));
        }
        if let Visibility::Unknown(word) = image.visibility {
            unreadable::report(&image.id, &format_args!("visibility is {word:?}"));
        }
        // A shared image of somebody else was found because the viewer is a member.
        image.member = project
            .filter(|_| image.visibility == Visibility::Shared && project != image.owner.as_deref())
            .map(str::to_owned);
        image
    }

    /// The value of a custom property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).flatten()
    }

    /// Whether a custom property of this name is set.
    pub fn has_property(&self, name: &str) -> bool {
        self.properties.get(name).is_some()
    }

    /// Where the data lies, as far as a caller may know: of an image whose data is barred, only administrators do (upstream:
    /// `_normalize_locations` in `glance/db/sqlalchemy/api.py`).
    pub fn locations_for(&self, is_admin: bool) -> &[LocationRecord] {
        let is_barred = self.status == Status::Deactivated && !is_admin;
        if is_barred { &[] } else { &self.locations }
    }

    /// Whether the image's properties ask for the verification of a signature over its data; a value is none of the conditions (upstream:
    /// `should_create_verifier` in `cursive/signature_utils.py`).
    pub fn is_signed(&self) -> bool {
        self.is_signed_with(&[])
    }

    /// The same, once it has these properties besides its own.
    pub(crate) fn is_signed_with(&self, added: &[(String, String)]) -> bool {
        let is_added = |name: &str| added.iter().any(|(known, _)| known == name);
        SIGNATURE_PROPERTIES.iter().all(|name| self.has_property(name) || is_added(name))
    }

    /// The id of the key with which the image's data is encrypted, if that is to be deleted with the image. A service that makes an image
    /// of an encrypted volume writes both properties.
    pub fn key_to_delete(&self) -> Option<&str> {
        let [id, policy] = KEY_PROPERTIES;
        self.property(id).filter(|_| self.property(policy) == Some(DELETED_WITH_IMAGE))
    }

    /// Leaves behind the locations of a queued image, with the size that was seen there: they were refused, or came without formats,
    /// and go when the image gets others.
    pub(super) fn forget_refused(&mut self) {
        if self.status == Status::Queued {
            self.locations.clear();
            self.size = None;
        }
    }

    /// Checks a step of the state machine, with the fields that it needs.
    ///
    /// # Errors
    /// [`Error::Transition`]; [`Error::MissingFormats`] where data shall come and its formats are not set.
    pub fn check_transition(&self, to: Status) -> Result<(), Error> {
        self.status.transition(to)?;
        if self.status.needs_formats(to) { self.check_formats() } else { Ok(()) }
    }

    /// Checks that something says what the data is.
    ///
    /// # Errors
    /// [`Error::MissingFormats`]
    pub(crate) fn check_formats(&self) -> Result<(), Error> {
        let is_set = |format: &Option<String>| format.as_deref().is_some_and(|text| !text.is_empty());
        let missing: Vec<&'static str> =
            [("disk_format", is_set(&self.disk_format)), ("container_format", is_set(&self.container_format))]
                .into_iter()
                .filter(|(_, present)| !present)
                .map(|(name, _)| name)
                .collect();
        if missing.is_empty() { Ok(()) } else { Err(Error::MissingFormats(missing)) }
    }
}

/// Whether a location stays with its image though its data was refused. Where nothing can be removed from, on a web server, upstream
/// leaves it (launchpad.net/bugs/2076648): the image waits for data then, and shows what was told.
pub(super) fn stays_refused(url: &str) -> bool {
    crate::store::is_read_only(url)
}
