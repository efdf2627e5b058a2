//! Registering an image (upstream: `glance/domain/__init__.py`, `ImageFactory.new_image`, and `glance/db/__init__.py`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Error;
use super::fields::{Field, set_property};
use super::images::Images;
use super::model::Image;
use super::text::{check_plane, field_message};
use crate::db::images as rows;
use crate::db::model::Column;
use crate::db::{DbError, clock};
use crate::notifications::Change;

/// Fields that only the service sets, in upstream's order: the first that is given is told.
const READ_ONLY: [Column; 6] =
    [Column::CreatedAt, Column::UpdatedAt, Column::Status, Column::Checksum, Column::Size, Column::VirtualSize];
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
        let id = base.get("id").and_then(Value::as_str).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        let owner = owner.filter(|owner| !owner.is_empty());
        let mut image = Image { owner, ..Image::new(id, clock::now()) };
        // The limit on tags comes before all else upstream.
        if let Some(tags) = base.get("tags") {
            Field::Tags.set(&mut image, tags, limits)?;
        }
        if let Some(column) = READ_ONLY.iter().find(|column| base.contains_key(column.name())) {
            return Err(Error::ReadOnly(column.name().to_owned()));
        }
        if let Some(name) = RESERVED.iter().find(|name| properties.contains_key(**name)) {
            return Err(Error::Reserved((*name).to_owned()));
        }
        // By their names: of several that are refused it is always the same one that is told.
        let by_name: BTreeMap<&String, &Value> = base.iter().collect();
        for (name, value) in by_name.into_iter().filter(|(name, _)| !matches!(name.as_str(), "owner" | "tags")) {
            if let Some(field) = Field::named(name) {
                field.set(&mut image, value, limits)?;
            }
        }
        check_plane(image.owner.as_deref().unwrap_or(""), || field_message("owner"))?;
        limits.check_properties(properties.keys().map(String::as_str))?;
        for (name, value) in properties {
            set_property(&mut image, name, value, self.db.dialect())?;
        }
        let record = rows::create(&self.db, image.into()).await.map_err(|error| match error {
            DbError::Duplicate { what: "image", key } => Error::Duplicate(key),
            other => other.into(),
        })?;
        let image = Image::from_record(record, None);
        self.announce(&image, Change::Created);
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::schema::is_base;

    #[test]
    fn a_field_of_a_new_image_is_the_clients_or_the_services() {
        let by_service = |column: &&Column| Image::setter(**column).is_none() && is_base(column.name());
        let mut names: Vec<_> = Image::COLUMNS.iter().filter(by_service).map(|column| column.name()).collect();
        let mut expected: Vec<_> = READ_ONLY.iter().chain(&[Column::Id]).map(|column| column.name()).collect();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
