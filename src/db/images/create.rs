//! A new image.

use std::collections::HashSet;

use sea_query::Query;

use super::columns::{ID_LENGTH, value};
use super::get::read;
use crate::db::children;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::{Column, ImageRecord, NewImage};
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
        insert.into_table("images");
        let mut columns = vec![(Column::Id, self.id.as_str().into())];
        columns.extend(self.given());
        columns.push((Column::CreatedAt, clock::to_micros(self.created_at.unwrap_or(now)).into()));
        columns.push((Column::UpdatedAt, clock::to_micros(self.updated_at.unwrap_or(now)).into()));
        columns.push((Column::Deleted, false.into()));
        insert.columns(columns.iter().map(|(column, _)| column.name()));
        insert.values_panic(columns.into_iter().map(|(column, given)| value(column, given)));
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
