//! Properties, tags and locations of images.

use std::collections::HashMap;

use sea_query::{Expr, ExprTrait, Query, SelectStatement, UnionType};
use serde_json::{Map, Value};
use time::PrimitiveDateTime;

use crate::db::error::DbError;
use crate::db::model::{ImageRecord, LocationRecord};
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::{live, padded};
use crate::schema::python::json;

/// Which table a row of a union comes from.
const PROPERTY: i64 = 1;
const TAG: i64 = 2;
const LOCATION: i64 = 3;

/// A row of `image_properties`, `image_tags` or `image_locations` that is not deleted.
pub(super) struct Child {
    kind: i64,
    row: i64,
    pub(super) image: String,
    /// Name of a property, a tag, status of a location.
    name: String,
    /// Value of a property, URL of a location.
    value: Option<String>,
    /// JSON of a location.
    metadata: Option<String>,
}

impl Child {
    /// Reads what follows the kind.
    pub(super) fn read(kind: i64, columns: &mut Columns<'_>) -> Result<Self, DbError> {
        Ok(Self {
            kind,
            row: columns.integer()?,
            image: columns.text()?,
            name: columns.text()?,
            value: columns.maybe_text()?,
            metadata: columns.maybe_text()?,
        })
    }
}

/// Columns of a child: kind, row, image, name, value, metadata.
pub(super) const COLUMNS: usize = 6;

/// The parts of one query over the three tables: one way to the server and back, and one state of the database. `blanks`
/// NULLs follow the columns of a child. They must be joined side by side, not nested: PostgreSQL takes the type of a NULL
/// from the parts before it.
pub(super) fn selects(of: impl Fn() -> Expr, blanks: usize) -> [SelectStatement; 3] {
    let null = || Expr::cust("NULL");
    let table = |kind: i64, table: &'static str, name: &'static str, value: Expr, metadata: Expr| {
        Query::select()
            .expr(Expr::cust(kind.to_string()))
            .columns(["id", "image_id", name])
            .expr(value)
            .expr(metadata)
            .exprs((0..blanks).map(|_| null()))
            .from(table)
            .and_where(of())
            .and_where(live(table))
            .take()
    };
    [
        table(PROPERTY, "image_properties", "name", Expr::col("value"), null()),
        table(TAG, "image_tags", "value", null(), null()),
        table(LOCATION, "image_locations", "status", Expr::col("value"), Expr::col("meta_data")),
    ]
}

/// The children of all these images.
pub(super) async fn load(session: &mut Session, images: &mut [ImageRecord]) -> Result<(), DbError> {
    if images.is_empty() {
        return Ok(());
    }
    let ids = padded(images.iter().map(|image| image.id.clone()).collect());
    let [mut query, tags, locations] = selects(|| Expr::col("image_id").is_in(ids.iter().cloned()), 0);
    query.union(UnionType::All, tags).union(UnionType::All, locations);
    let children = session
        .rows(&query, |row: &dyn Row| {
            let mut columns = Columns::of(row);
            let kind = columns.integer()?;
            Child::read(kind, &mut columns)
        })
        .await?;
    let mut by_image: HashMap<String, Vec<Child>> = HashMap::with_capacity(images.len());
    for child in children {
        by_image.entry(child.image.clone()).or_default().push(child);
    }
    for image in images {
        attach(session, image, by_image.remove(&image.id).unwrap_or_default())?;
    }
    Ok(())
}

/// Puts the children of one image where they belong, in the order of their rows.
pub(super) fn attach(session: &Session, image: &mut ImageRecord, mut children: Vec<Child>) -> Result<(), DbError> {
    children.sort_unstable_by_key(|child| child.row);
    for child in children {
        match child.kind {
            PROPERTY => image.properties.push((child.name, child.value)),
            TAG => image.tags.push(child.name),
            _ => image.locations.push(LocationRecord {
                id: Some(child.row),
                url: session.unseal(child.value.unwrap_or_default())?,
                status: child.name,
                metadata: parse_metadata(child.metadata.as_deref())?,
            }),
        }
    }
    Ok(())
}

/// Upstream's `JSONEncodedDict`: JSON text; what very old releases pickled was converted by their migrations.
fn parse_metadata(text: Option<&str>) -> Result<Map<String, Value>, DbError> {
    match text.map(serde_json::from_str).transpose() {
        Ok(Some(Value::Object(map))) => Ok(map),
        Ok(None | Some(Value::Null)) => Ok(Map::new()),
        Ok(Some(_)) => Err("not an object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|reason| DbError::Corrupt { column: "meta_data".to_owned(), reason })
}

/// Rows in one INSERT: far below the databases' limits on parameters.
const ROWS: usize = 500;

pub(super) async fn insert_properties(
    session: &mut Session,
    image: &str,
    now: PrimitiveDateTime,
    properties: &[&(String, Option<String>)],
) -> Result<(), DbError> {
    for part in properties.chunks(ROWS) {
        let mut insert = Query::insert();
        insert.into_table("image_properties");
        insert.columns(["image_id", "name", "value", "created_at", "updated_at", "deleted"]);
        for (name, value) in part {
            let name = name.as_str();
            insert.values_panic([
                image.into(),
                name.into(),
                value.clone().into(),
                now.into(),
                now.into(),
                false.into(),
            ]);
        }
        session.execute(&insert).await.map_err(|error| match error {
            // Another request set one of them in this moment, or two differ only in case where the database sees none.
            error if error.is_duplicate() => {
                DbError::Duplicate { what: "one of these properties of image", key: image.to_owned() }
            }
            error => error,
        })?;
    }
    Ok(())
}

pub(in crate::db) async fn insert_tags(
    session: &mut Session,
    image: &str,
    now: PrimitiveDateTime,
    tags: &[&str],
) -> Result<(), DbError> {
    for part in tags.chunks(ROWS) {
        let mut insert = Query::insert();
        insert.into_table("image_tags").columns(["image_id", "value", "created_at", "updated_at", "deleted"]);
        for tag in part {
            insert.values_panic([image.into(), (*tag).into(), now.into(), now.into(), false.into()]);
        }
        session.execute(&insert).await?;
    }
    Ok(())
}

pub(in crate::db) async fn insert_locations(
    session: &mut Session,
    image: &str,
    now: PrimitiveDateTime,
    locations: &[&LocationRecord],
) -> Result<(), DbError> {
    for part in locations.chunks(ROWS) {
        let mut insert = Query::insert();
        insert.into_table("image_locations").columns([
            "image_id",
            "value",
            "meta_data",
            "status",
            "created_at",
            "updated_at",
            "deleted_at",
            "deleted",
        ]);
        for location in part {
            let deleted = is_deleted(&location.status);
            insert.values_panic([
                image.into(),
                session.seal(&location.url).into(),
                metadata_text(&location.metadata).into(),
                location.status.as_str().into(),
                now.into(),
                now.into(),
                deleted.then_some(now).into(),
                deleted.into(),
            ]);
        }
        session.execute(&insert).await?;
    }
    Ok(())
}

/// Whether a location in this status counts as deleted (`_image_location_add` in `glance/db/sqlalchemy/api.py`).
pub(in crate::db) fn is_deleted(status: &str) -> bool {
    matches!(status, "deleted" | "pending_delete")
}

/// In the form of upstream's `JSONEncodedDict`, of ASCII alone.
pub(in crate::db) fn metadata_text(metadata: &Map<String, Value>) -> String {
    let text = json::to_bytes(metadata).ok().and_then(|text| String::from_utf8(text.into()).ok());
    text.unwrap_or_else(|| "{}".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_as_upstream_writes_it() {
        let Value::Object(metadata) = serde_json::json!({"store": "fast", "n": ["ü", 1, "🦀"]}) else { panic!() };
        let text = metadata_text(&metadata);
        assert_eq!(text, r#"{"store": "fast", "n": ["\u00fc", 1, "\ud83e\udd80"]}"#);
        assert_eq!(parse_metadata(Some(&text)).unwrap(), metadata);
    }

    #[test]
    fn metadata_is_an_object_or_nothing() {
        assert_eq!(parse_metadata(None).unwrap().len(), 0);
        assert_eq!(parse_metadata(Some("null")).unwrap().len(), 0);
        assert_eq!(parse_metadata(Some("{\"store\": \"fast\"}")).unwrap().get("store"), Some(&"fast".into()));
        for bad in ["[]", "", "{'store': 'fast'}", "(dp0\\nS'store'\\n"] {
            assert!(matches!(parse_metadata(Some(bad)), Err(DbError::Corrupt { .. })), "{bad}");
        }
    }
}
