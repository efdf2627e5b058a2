//! An image as the domain and the API see it.

use time::PrimitiveDateTime;

use super::properties::Properties;
use super::status::Status;
use super::visibility::Visibility;
use crate::db::model::{ImageRecord, LocationRecord};
use crate::db::unreadable;
use crate::image::Error;

/// One image with everything that hangs on it (upstream: `glance/domain/__init__.py`, `Image`). Times are naive UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub id: String,
    pub name: Option<String>,
    /// Bytes; `None` while there is no data.
    pub size: Option<i64>,
    /// Bytes of the disk inside; `None` where the format does not tell.
    pub virtual_size: Option<i64>,
    pub status: Status,
    pub visibility: Visibility,
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    /// MD5 in hex.
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    /// Project id.
    pub owner: Option<String>,
    /// GiB.
    pub min_disk: i32,
    /// MiB.
    pub min_ram: i32,
    pub protected: bool,
    pub os_hidden: bool,
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

/// The properties that name the key of an encrypted image, and what is to become of it.
pub(crate) const KEY_PROPERTIES: [&str; 2] = ["cinder_encryption_key_id", "cinder_encryption_key_deletion_policy"];

/// The policy that gives the key up.
const DELETED_WITH_IMAGE: &str = "on_image_deletion";

/// The properties that together ask for the verification of a signature.
const SIGNATURE_PROPERTIES: [&str; 4] =
    ["img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"];

impl Image {
    /// Takes any row: what no image should have is named in the log and shown as it is.
    pub(super) fn from_record(record: ImageRecord, project: Option<&str>) -> Self {
        let status = Status::from(record.status.as_str());
        if matches!(status, Status::Unknown(_)) {
            unreadable::report(&record.id, &format_args!("status is {:?}", record.status));
        }
        let visibility = Visibility::of_row(&record.visibility);
        if matches!(visibility, Visibility::Unknown(_)) {
            unreadable::report(&record.id, &format_args!("visibility is {:?}", record.visibility));
        }
        // A shared image of somebody else was found because the viewer is a member.
        let member = project
            .filter(|_| visibility == Visibility::Shared && project != record.owner.as_deref())
            .map(str::to_owned);
        Self {
            id: record.id,
            name: record.name,
            size: record.size,
            virtual_size: record.virtual_size,
            status,
            visibility,
            disk_format: record.disk_format,
            container_format: record.container_format,
            checksum: record.checksum,
            os_hash_algo: record.os_hash_algo,
            os_hash_value: record.os_hash_value,
            owner: record.owner,
            min_disk: record.min_disk,
            min_ram: record.min_ram,
            protected: record.protected,
            os_hidden: record.os_hidden,
            created_at: record.created_at,
            updated_at: record.updated_at,
            properties: record.properties.into(),
            tags: record.tags,
            locations: record.locations.into_iter().filter(LocationRecord::is_active).collect(),
            member,
        }
    }

    /// The value of a custom property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).flatten()
    }

    /// Whether a custom property of this name is set.
    pub fn has_property(&self, name: &str) -> bool {
        self.properties.get(name).is_some()
    }

    /// Whether the image's properties ask for the verification of a signature over its data; a value is none of the conditions (upstream:
    /// `should_create_verifier` in `cursive/signature_utils.py`).
    pub fn is_signed(&self) -> bool {
        SIGNATURE_PROPERTIES.iter().all(|name| self.has_property(name))
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
        if self.status.needs_formats(to) {
            let is_set = |format: &Option<String>| format.as_deref().is_some_and(|text| !text.is_empty());
            let missing: Vec<&'static str> =
                [("disk_format", is_set(&self.disk_format)), ("container_format", is_set(&self.container_format))]
                    .into_iter()
                    .filter(|(_, present)| !present)
                    .map(|(name, _)| name)
                    .collect();
            if !missing.is_empty() {
                return Err(Error::MissingFormats(missing));
            }
        }
        Ok(())
    }
}
/// Whether a location stays with its image though its data was refused. Where nothing can be removed from, on a web server, upstream
/// leaves it (launchpad.net/bugs/2076648): the image waits for data then, and shows what was told.
pub(super) fn stays_refused(url: &str) -> bool {
    crate::store::is_read_only(url)
}
