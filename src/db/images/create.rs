//! A new image.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use sea_query::{Query, Value};
use time::PrimitiveDateTime;

use super::columns::{ID_LENGTH, value};
use super::get::read;
use crate::db::children;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::model::{Column, ImageRecord, NewImage};
use crate::db::retry::UnitOfWork;
use crate::db::session::Session;
use crate::db::statement::{Filled, Text};

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

impl UnitOfWork for NewImage {
    type Output = ImageRecord;
    const NAME: &'static str = "create image";

    async fn run(&self, session: &mut Session) -> Result<ImageRecord, DbError> {
        let now = clock::as_kept(session.dialect(), clock::now());
        let is_simple = self.locations.is_empty() && self.properties.iter().all(|(_, value)| value.is_some());
        if is_simple && session.dialect() == Dialect::Postgres {
            insert_at_once(session, self, now).await?;
        } else {
            insert(session, self, now).await?;
        }
        if is_simple && session.stores_as_given() {
            let record = self.to_record(now);
            let kept = |time| clock::as_kept(session.dialect(), time);
            return Ok(ImageRecord {
                created_at: kept(record.created_at),
                updated_at: kept(record.updated_at),
                ..record
            });
        }
        // Read back: locations have ids now, and MySQL keeps less of a text where its mode allows that.
        read(session, &self.id, false).await?.ok_or_else(|| DbError::no_image(&self.id))
    }
}

/// One statement for each table.
async fn insert(session: &mut Session, image: &NewImage, now: PrimitiveDateTime) -> Result<(), DbError> {
    let mut insert = Query::insert();
    insert.into_table("images");
    let columns = columns(session.dialect(), image, now);
    insert.columns(columns.iter().map(|(column, _)| column.name()));
    insert.values_panic(columns.into_iter().map(|(column, given)| value(column, given)));
    session.execute(&insert).await.map_err(|error| taken(error, &image.id))?;
    children::insert_properties(session, &image.id, now, &image.properties.iter().collect::<Vec<_>>()).await?;
    children::insert_tags(session, &image.id, now, &distinct(&image.tags)).await?;
    children::insert_locations(session, &image.id, now, &image.locations.iter().collect::<Vec<_>>()).await
}

fn columns(dialect: Dialect, image: &NewImage, now: PrimitiveDateTime) -> Vec<(Column, Value)> {
    let mut columns = vec![(Column::Id, image.id.as_str().into())];
    columns.extend(image.given());
    let kept = |time: Option<PrimitiveDateTime>| clock::as_kept(dialect, time.unwrap_or(now)).into();
    columns.push((Column::CreatedAt, kept(image.created_at)));
    columns.push((Column::UpdatedAt, kept(image.updated_at)));
    columns.push((Column::Deleted, false.into()));
    columns
}

fn distinct(tags: &[String]) -> Vec<&str> {
    let mut seen = HashSet::new();
    tags.iter().map(String::as_str).filter(|tag| seen.insert(*tag)).collect()
}

fn taken(error: DbError, id: &str) -> DbError {
    if error.is_duplicate() { DbError::Duplicate { what: "image", key: id.to_owned() } } else { error }
}

/// The same for PostgreSQL in one statement, whose text does not depend on the image: one way to the server and back, and one
/// plan. Foreign keys are checked at the end of a statement.
static AT_ONCE: LazyLock<Arc<Text>> = LazyLock::new(|| {
    let columns: Vec<Column> = [Column::Id]
        .into_iter()
        .chain(NewImage::GIVEN.iter().copied())
        .chain([Column::CreatedAt, Column::UpdatedAt, Column::Deleted])
        .collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    let row = columns.iter().zip(1..).map(|(column, number)| match column {
        Column::Visibility => format!("CAST(${number} AS image_visibility)"),
        _ => format!("${number}"),
    });
    let [now, keys, values, tags] = [1, 2, 3, 4].map(|further| format!("${}", columns.len() + further));
    Arc::new(Text::of_postgres(format!(
        "WITH properties AS (\
         INSERT INTO image_properties (image_id, name, value, created_at, updated_at, deleted) \
         SELECT $1, name, value, {now}, {now}, FALSE \
         FROM unnest({keys}, {values}) WITH ORDINALITY AS given (name, value, number) ORDER BY number\
         ), tags AS (\
         INSERT INTO image_tags (image_id, value, created_at, updated_at, deleted) \
         SELECT $1, value, {now}, {now}, FALSE \
         FROM unnest({tags}) WITH ORDINALITY AS given (value, number) ORDER BY number\
         ) INSERT INTO images ({}) VALUES ({})",
        names.join(", "),
        row.collect::<Vec<_>>().join(", "),
    )))
});

/// For an image without locations, whose properties all have a value: the driver's arrays have no NULL.
async fn insert_at_once(session: &mut Session, image: &NewImage, now: PrimitiveDateTime) -> Result<(), DbError> {
    let mut values: Vec<Value> = columns(Dialect::Postgres, image, now)
        .into_iter()
        .map(|(column, given)| match (column, given) {
            (Column::Owner, Value::String(owner)) => Value::String(owner.filter(|owner| !owner.is_empty())),
            (_, given) => given,
        })
        .collect();
    let (names, contents): (Vec<String>, Vec<String>) =
        image.properties.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default())).unzip();
    let tags: Vec<String> = distinct(&image.tags).into_iter().map(str::to_owned).collect();
    let is_repeated = names.iter().collect::<HashSet<_>>().len() < names.len();
    values.extend([now.into(), names.into(), contents.into(), tags.into()]);
    session.execute(&Filled::new(Arc::clone(&AT_ONCE), values)).await.map(drop).map_err(|error| {
        if is_repeated && error.is_duplicate() {
            return children::property_taken(&image.id);
        }
        taken(error, &image.id)
    })
}
