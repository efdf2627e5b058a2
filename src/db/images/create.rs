//! A new image.

use std::collections::HashSet;

use sea_query::{Expr, Query};

use super::{ID_LENGTH, children, owner, read, visibility};
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::{ImageRecord, NewImage};
use crate::db::retry::Operation;
use crate::db::session::Session;

/// Stores the image with all that hangs on it, in one transaction (`image_create` and `image_tag_set_all` in
/// `glance/db/sqlalchemy/api.py`).
///
/// # Errors
/// [`DbError::Duplicate`] if the id was ever used, also by an image that is deleted now.
pub async fn create(db: &Db, image: NewImage) -> Result<ImageRecord, DbError> {
    if image.id.len() > ID_LENGTH {
        return Err(DbError::Corrupt { column: "id".to_owned(), reason: "longer than the column".to_owned() });
    }
    db.write(image).await
}

impl Operation for NewImage {
    type Output = ImageRecord;
    const NAME: &'static str = "create image";

    async fn run(&self, session: &mut Session) -> Result<ImageRecord, DbError> {
        let now = clock::now();
        let mut insert = Query::insert();
        insert.into_table("images").columns([
            "id",
            "name",
            "size",
            "virtual_size",
            "status",
            "visibility",
            "disk_format",
            "container_format",
            "checksum",
            "os_hash_algo",
            "os_hash_value",
            "owner",
            "min_disk",
            "min_ram",
            "protected",
            "os_hidden",
            "created_at",
            "updated_at",
            "deleted",
        ]);
        let values: [Expr; 19] = [
            self.id.as_str().into(),
            self.name.clone().into(),
            self.size.into(),
            self.virtual_size.into(),
            self.status.as_str().into(),
            visibility(&self.visibility),
            self.disk_format.clone().into(),
            self.container_format.clone().into(),
            self.checksum.clone().into(),
            self.os_hash_algo.clone().into(),
            self.os_hash_value.clone().into(),
            owner(self.owner.clone()).into(),
            self.min_disk.into(),
            self.min_ram.into(),
            self.protected.into(),
            self.os_hidden.into(),
            clock::to_micros(self.created_at.unwrap_or(now)).into(),
            clock::to_micros(self.updated_at.unwrap_or(now)).into(),
            false.into(),
        ];
        insert.values_panic(values);
        session.execute(&insert).await.map_err(|error| match error {
            error if error.is_duplicate() => DbError::Duplicate { what: "image", key: self.id.clone() },
            error => error,
        })?;
        children::insert_properties(session, &self.id, now, &self.properties.iter().collect::<Vec<_>>()).await?;
        let mut seen = HashSet::new();
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).filter(|tag| seen.insert(*tag)).collect();
        children::insert_tags(session, &self.id, now, &tags).await?;
        children::insert_locations(session, &self.id, now, &self.locations.iter().collect::<Vec<_>>()).await?;
        // Read back: rows have ids now, and MySQL keeps whole seconds.
        read(session, &self.id, false).await?.ok_or_else(|| DbError::no_image(&self.id))
    }
}
