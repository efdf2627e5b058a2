//! Registering an image (upstream: `glance/domain/__init__.py`, `ImageFactory.new_image`, and `glance/db/__init__.py`).

use serde_json::{Map, Value};
use time::{OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

use super::Error;
use super::fields::{Field, set_property};
use super::images::Images;
use super::model::Image;
use super::properties::Properties;
use super::status::Status;
use super::text::{check_plane, field_message};
use super::visibility::Visibility;
use crate::db::DbError;
use crate::db::images as rows;
use crate::db::model::NewImage;
use crate::notifications::Change;

/// Fields that only the service sets.
const READ_ONLY: [&str; 6] = ["created_at", "updated_at", "status", "checksum", "size", "virtual_size"];
/// Names that no custom property may take.
const RESERVED: [&str; 8] = ["owner", "locations", "deleted", "deleted_at", "direct_url", "self", "file", "schema"];

impl Images {
    /// Registers a queued image from fields and custom properties that the schema has let through.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Reserved`], [`Error::Invalid`], [`Error::TooMany`]; [`Error::Duplicate`] if the id is or
    /// was in use.
    pub async fn create(
        &self,
        base: &Map<String, Value>,
        properties: &Map<String, Value>,
        owner: Option<String>,
    ) -> Result<Image, Error> {
        let limits = &self.options.limits;
        let mut image = blank(base.get("id").and_then(Value::as_str), owner);
        // The limit on tags comes before all else upstream.
        if let Some(tags) = base.get("tags") {
            Field::Tags.set(&mut image, tags, limits)?;
        }
        if let Some(name) = READ_ONLY.iter().find(|name| base.contains_key(**name)) {
            return Err(Error::ReadOnly((*name).to_owned()));
        }
        if let Some(name) = RESERVED.iter().find(|name| properties.contains_key(**name)) {
            return Err(Error::Reserved((*name).to_owned()));
        }
        for (name, value) in base.iter().filter(|(name, _)| !matches!(name.as_str(), "owner" | "tags")) {
            if let Some(field) = Field::named(name) {
                field.set(&mut image, value, limits)?;
            }
        }
        check_plane(image.owner.as_deref().unwrap_or(""), || field_message("owner"))?;
        limits.check_properties(properties.keys().map(String::as_str))?;
        for (name, value) in properties {
            set_property(&mut image, name, value, self.db.dialect())?;
        }
        let record = rows::create(&self.db, row(image)).await.map_err(|error| match error {
            DbError::Duplicate { what: "image", key } => Error::Duplicate(key),
            other => other.into(),
        })?;
        let image = Image::from_record(record, None);
        self.announce(&image, Change::Created);
        Ok(image)
    }
}

fn blank(id: Option<&str>, owner: Option<String>) -> Image {
    let now = OffsetDateTime::now_utc();
    let now = PrimitiveDateTime::new(now.date(), now.time());
    Image {
        id: id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned),
        name: None,
        size: None,
        virtual_size: None,
        status: Status::Queued,
        visibility: Visibility::Shared,
        disk_format: None,
        container_format: None,
        checksum: None,
        os_hash_algo: None,
        os_hash_value: None,
        owner: owner.filter(|owner| !owner.is_empty()),
        min_disk: 0,
        min_ram: 0,
        protected: false,
        os_hidden: false,
        created_at: now,
        updated_at: now,
        properties: Properties::default(),
        tags: Vec::new(),
        locations: Vec::new(),
        member: None,
    }
}

fn row(image: Image) -> NewImage {
    NewImage {
        name: image.name,
        status: image.status.as_str().to_owned(),
        visibility: image.visibility.as_str().to_owned(),
        disk_format: image.disk_format,
        container_format: image.container_format,
        owner: image.owner,
        min_disk: image.min_disk,
        min_ram: image.min_ram,
        protected: image.protected,
        os_hidden: image.os_hidden,
        created_at: Some(image.created_at),
        updated_at: Some(image.updated_at),
        properties: image.properties.into(),
        tags: image.tags,
        ..NewImage::new(image.id)
    }
}
