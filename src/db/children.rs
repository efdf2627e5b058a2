//! Properties, tags and locations of images.

use std::collections::HashMap;

use sea_query::{Expr, ExprTrait, Query, SelectStatement, UnionType};
use serde_json::Map;
use time::PrimitiveDateTime;

use super::clock;
use super::dialect::Dialect;
use super::error::DbError;
use super::model::{ImageRecord, LocationRecord, UNREADABLE_OWNER};
use super::of_ids::{OfIds, Way};
use super::reserved;
use super::row::{Columns, Row};
use super::session::Session;
use super::sql::live;
use super::unreadable;
use crate::schema::python::json;

/// Which table a row of a union comes from.
const IMAGE: i64 = 0;
const PROPERTY: i64 = 1;
const TAG: i64 = 2;
const LOCATION: i64 = 3;

/// A row of `image_properties`, `image_tags` or `image_locations` that is not deleted; or the state of an image.
pub(super) struct Child {
    kind: i64,
    /// Its id; of an image, whether it is deleted.
    row: i64,
    image: String,
    /// Name of a property, a tag, status of a location, visibility of an image.
    name: String,
    /// Value of a property, URL of a location, owner of an image.
    value: Option<String>,
    /// JSON of a location; time of change and status of an image.
    metadata: Option<String>,
}

impl Child {
    /// Reads what follows the kind.
    pub(super) fn read(kind: i64, columns: &mut Columns<'_>) -> Result<Self, DbError> {
        let row = columns.integer()?;
        let image = columns.text()?;
        let [name_is, value_is, metadata_is] = origins(kind);
        let name = unreadable::or(&image, columns.text().map_err(|error| error.in_column(name_is)), String::new);
        let owner = || (kind == IMAGE).then(|| UNREADABLE_OWNER.to_owned());
        let value = unreadable::or(&image, columns.maybe_text().map_err(|error| error.in_column(value_is)), owner);
        let metadata = columns.maybe_text().map_err(|error| error.in_column(metadata_is));
        let metadata = unreadable::or(&image, metadata, || None);
        Ok(Self { kind, row, image, name, value, metadata })
    }

    /// Whether the image, as it was read before, is the one whose state this is.
    fn is_state_of(&self, image: &ImageRecord) -> bool {
        let Some(state) = self.metadata.as_deref() else { return false };
        // The time has a blank in it too.
        let time = state.match_indices(' ').nth(1).and_then(|(end, _)| state.split_at_checked(end));
        time.is_some_and(|(time, status)| {
            clock::from_text(time) == Some(image.updated_at)
                && status.strip_prefix(' ') == Some(&image.status)
                && self.name == image.visibility
                && self.value == image.owner
                && (self.row != 0) == image.deleted
        })
    }
}

/// The columns that a child's name, value and metadata come from. A query of several tables names them after its first one.
fn origins(kind: i64) -> [&'static str; 3] {
    match kind {
        PROPERTY => ["image_properties.name", "image_properties.value", ""],
        TAG => ["image_tags.value", "", ""],
        LOCATION => ["image_locations.status", "image_locations.value", "image_locations.meta_data"],
        _ => ["images.visibility", "images.owner", "images.status"],
    }
}

/// Columns of a child: kind, row, image, name, value, metadata.
pub(super) const COLUMNS: usize = 6;

/// The parts of one query over the three tables: one way to the server and back, and one state of the database. `blanks`
/// NULLs follow the columns of a child. They must be joined side by side, not nested: PostgreSQL takes the type of a NULL
/// from the parts before it.
pub(super) fn selects(of: impl Fn() -> Expr, way: Way, blanks: usize) -> [SelectStatement; 3] {
    let null = || Expr::cust("NULL");
    let table = |kind: i64, table: &'static str, name: &'static str, value: Expr, metadata: Expr| {
        let mut query = Query::select();
        query
            .expr(Expr::cust(kind.to_string()))
            .columns(["id", "image_id", name])
            .expr(value)
            .expr(metadata)
            .exprs((0..blanks).map(|_| null()))
            .from(table)
            .and_where(of())
            .and_where(live(table));
        way.apply(&mut query, table);
        query
    };
    [
        table(PROPERTY, "image_properties", "name", Expr::col("value"), null()),
        table(TAG, "image_tags", "value", null(), null()),
        table(LOCATION, "image_locations", "status", Expr::col("value"), Expr::col("meta_data")),
    ]
}

/// Loads the children of all these images. False if one of the images is perhaps not any more what it was when it was read, so
/// that its children may belong to another state of it.
pub(super) async fn load(session: &mut Session, images: &mut [ImageRecord]) -> Result<bool, DbError> {
    if images.is_empty() {
        return Ok(true);
    }
    let dialect = session.dialect();
    let ids: Vec<&str> = images.iter().map(|image| image.id.as_str()).collect();
    let read = |row: &dyn Row| {
        let mut columns = Columns::of(row);
        let kind = columns.integer()?;
        Child::read(kind, &mut columns)
    };
    let rows = STATES.rows(session, &ids, read).await?;
    let mut by_image = by_image(rows);
    let now = clock::now();
    let mut is_one_state = true;
    for image in images {
        is_one_state &= !is_ambiguous(dialect, image.updated_at, now);
        let mut children = by_image.remove(&image.id).unwrap_or_default();
        match children.iter().position(|child| child.kind == IMAGE) {
            Some(at) => is_one_state &= children.swap_remove(at).is_state_of(image),
            None => is_one_state = false,
        }
        attach(session, image, children);
    }
    Ok(is_one_state)
}

/// The children by the ids of their images.
pub(super) fn by_image(children: impl IntoIterator<Item = Child>) -> HashMap<String, Vec<Child>> {
    let mut by_image: HashMap<String, Vec<Child>> = HashMap::new();
    for child in children {
        match by_image.get_mut(&child.image) {
            Some(children) => children.push(child),
            None => drop(by_image.insert(child.image.clone(), vec![child])),
        }
    }
    by_image
}

/// Whether an image may change twice and bear the same time of change. MySQL keeps whole seconds, which it may round up.
fn is_ambiguous(dialect: Dialect, updated_at: PrimitiveDateTime, now: PrimitiveDateTime) -> bool {
    dialect == Dialect::MySql && now - updated_at < time::Duration::seconds(2)
}

/// The states of images and their children.
static STATES: OfIds = OfIds::new(states);

/// The states of images, with their children.
pub(super) fn states(dialect: Dialect, way: Way, of: &dyn Fn(&'static str) -> Expr) -> SelectStatement {
    let (visibility, state) = match dialect {
        Dialect::Sqlite => ("visibility", "COALESCE(updated_at, created_at) || ' ' || status"),
        Dialect::Postgres => (
            "CAST(visibility AS text)",
            "to_char(COALESCE(updated_at, created_at), 'YYYY-MM-DD HH24:MI:SS.US') || ' ' || status",
        ),
        Dialect::MySql => {
            ("visibility", "CONCAT(DATE_FORMAT(COALESCE(updated_at, created_at), '%Y-%m-%d %H:%i:%s.%f'), ' ', status)")
        }
    };
    let mut query = Query::select();
    query.expr(Expr::cust(IMAGE.to_string())).expr(Expr::cust("CASE WHEN deleted THEN 1 ELSE 0 END"));
    query.column("id").exprs([visibility, "owner", state].map(Expr::cust)).from("images").and_where(of("id"));
    query.unions(selects(|| of("image_id"), way, 0).map(|select| (UnionType::All, select)));
    query
}

/// Puts the children of one image where they belong, in the order of their rows.
pub(super) fn attach(session: &Session, image: &mut ImageRecord, mut children: Vec<Child>) {
    children.sort_unstable_by_key(|child| child.row);
    for child in children {
        match child.kind {
            PROPERTY => image.properties.push((child.name, child.value)),
            TAG => image.tags.push(child.name),
            _ => {
                // A URL that was encrypted with another key stays as it is: no store takes it for one of its own.
                let stored = child.value.unwrap_or_default();
                let url = unreadable::or(&image.id, session.unseal(stored.clone()), || stored);
                let metadata = unreadable::or(&image.id, parse_metadata(child.metadata.as_deref()), Map::new);
                image.locations.push(LocationRecord { id: Some(child.row), url, status: child.name, metadata });
            }
        }
    }
}

/// Upstream's `JSONEncodedDict`: JSON text; what very old releases pickled was converted by their migrations.
fn parse_metadata(text: Option<&str>) -> Result<Map<String, serde_json::Value>, DbError> {
    match text.map(serde_json::from_str).transpose() {
        Ok(Some(serde_json::Value::Object(map))) => Ok(map),
        Ok(None | Some(serde_json::Value::Null)) => Ok(Map::new()),
        Ok(Some(_)) => Err("not an object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|reason| DbError::Corrupt { column: "meta_data".to_owned(), reason })
}

/// Waits for, and keeps until the end of the transaction, the right to change what hangs on the image. Two rivals could
/// otherwise both find a row missing and both insert it, where no unique key prevents that.
///
/// # Errors
/// [`DbError::NotFound`] if the image is not there.
pub(super) async fn lock_image(session: &mut Session, image: &str) -> Result<(), DbError> {
    let query = Query::select()
        .column("id")
        .from("images")
        .and_where(Expr::col("id").eq(image))
        .and_where(live("images"))
        .lock_exclusive()
        .take();
    session.row(&query, |row| Columns::of(row).text()).await?.map(drop).ok_or_else(|| DbError::no_image(image))
}

/// Rows in one INSERT: far below the databases' limits on parameters.
const ROWS: usize = 500;

/// # Errors
/// [`DbError::Duplicate`], [`DbError::Reserved`], [`DbError::InTheWay`].
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
        match session.execute(&insert).await {
            Ok(_) => {}
            Err(error) if error.is_duplicate() => {
                let names: Vec<&str> = part.iter().map(|(name, _)| name.as_str()).collect();
                // Another request set one of them in this moment, or two differ only in case where the database sees none.
                return Err(reserved::clash(session, image, &names).await?.unwrap_or_else(|| property_taken(image)));
            }
            Err(error) => return Err(error),
        }
    }
    reserved::check(session, image, properties.iter().map(|(name, _)| name.as_str())).await
}

pub(super) fn property_taken(image: &str) -> DbError {
    DbError::Duplicate { what: "one of these properties of image", key: image.to_owned() }
}

pub(super) async fn insert_tags(
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

pub(super) async fn insert_locations(
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
pub(super) fn is_deleted(status: &str) -> bool {
    matches!(status, "deleted" | "pending_delete")
}

/// In the form of upstream's `JSONEncodedDict`, of ASCII alone.
pub(super) fn metadata_text(metadata: &Map<String, serde_json::Value>) -> String {
    let text = json::to_bytes(metadata).ok().and_then(|text| String::from_utf8(text.into()).ok());
    text.unwrap_or_else(|| "{}".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_as_upstream_writes_it() {
        let serde_json::Value::Object(metadata) = serde_json::json!({"store": "fast", "n": ["ü", 1, "🦀"]}) else {
            panic!()
        };
        let text = metadata_text(&metadata);
        assert_eq!(text, r#"{"store": "fast", "n": ["\u00fc", 1, "\ud83e\udd80"]}"#);
        assert_eq!(parse_metadata(Some(&text)).unwrap(), metadata);
    }

    #[test]
    fn a_time_of_whole_seconds_tells_nothing_while_it_lasts() {
        let time = time::macros::datetime!(2024-01-01 12:00:00);
        let millis = time::Duration::milliseconds;
        for (dialect, later, expected) in [
            (Dialect::MySql, 1999, true),
            (Dialect::MySql, -500, true),
            (Dialect::MySql, 2000, false),
            (Dialect::Postgres, 0, false),
            (Dialect::Sqlite, 0, false),
        ] {
            assert_eq!(is_ambiguous(dialect, time, time + millis(later)), expected, "{dialect:?} {later}");
        }
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
