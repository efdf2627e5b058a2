//! Places where the data of images lies.

use sea_query::{Expr, ExprTrait, Query};
use time::PrimitiveDateTime;

use super::children::{is_deleted, metadata_text};
use super::clock;
use super::connection::Db;
use super::error::DbError;
use super::model::{LocationRecord, ON_THEIR_WAY};
use super::retry::UnitOfWork;
use super::row::Columns;
use super::session::Session;
use super::sql::{live, soft_delete};

/// Brings back a location that was marked as deleted.
///
/// # Errors
/// [`DbError::NotFound`] if the image has no such location.
pub async fn restore(db: &Db, image: &str, location: i64) -> Result<(), DbError> {
    db.write(Restore { image: image.to_owned(), location }).await
}

/// The URLs of the locations that went with an image when it was deleted, and would come back with it.
///
/// # Errors
/// Those of the database.
pub async fn gone_with(db: &Db, image: &str) -> Result<Vec<String>, DbError> {
    db.read(GoneWith { image: image.to_owned() }).await
}

/// Marks the placeholders of an image as deleted: rows of locations whose data is still on its way.
pub async fn drop_placeholders(db: &Db, image: &str) -> Result<(), DbError> {
    db.write(DropPlaceholders { image: image.to_owned() }).await
}

/// As [`drop_placeholders`], in a transaction that does more.
pub(super) async fn drop_placeholders_of(session: &mut Session, image: &str) -> Result<(), DbError> {
    let update = soft_delete("image_locations", clock::now())
        .value("status", "deleted")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(Expr::col("status").is_in(ON_THEIR_WAY))
        .and_where(live("image_locations"))
        .take();
    session.execute(&update).await.map(drop)
}

/// Checks that the active locations of an image are still those that somebody has read.
///
/// # Errors
/// [`DbError::LocationsChanged`].
pub(super) fn check_unchanged(image: &str, read: &[LocationRecord], found: &[LocationRecord]) -> Result<(), DbError> {
    let active = |list: &[LocationRecord]| list.iter().filter(|location| location.is_active()).cloned().collect();
    let (read, found): (Vec<_>, Vec<_>) = (active(read), active(found));
    if read == found { Ok(()) } else { Err(DbError::LocationsChanged { id: image.to_owned() }) }
}

/// Brings a stored location up to date. What is the same in `known`, as the row was read, is not written: it may stand in for
/// something that cannot be read, such as a URL that was encrypted with another key.
pub(super) async fn store(
    session: &mut Session,
    image: &str,
    id: i64,
    now: PrimitiveDateTime,
    location: &LocationRecord,
    known: Option<&LocationRecord>,
) -> Result<(), DbError> {
    let mut update = Query::update();
    if known.is_none_or(|known| known.url != location.url) {
        update.value("value", session.seal(&location.url));
    }
    if known.is_none_or(|known| known.metadata != location.metadata) {
        update.value("meta_data", metadata_text(&location.metadata));
    }
    set(session, update, image, id, now, &location.status).await
}

async fn set(
    session: &mut Session,
    mut update: sea_query::UpdateStatement,
    image: &str,
    id: i64,
    now: PrimitiveDateTime,
    status: &str,
) -> Result<(), DbError> {
    let deleted = is_deleted(status);
    update.table("image_locations");
    update.values([
        ("status", status.into()),
        ("deleted", deleted.into()),
        ("deleted_at", deleted.then_some(now).into()),
        ("updated_at", now.into()),
    ]);
    update.and_where(Expr::col("id").eq(id)).and_where(Expr::col("image_id").eq(image));
    match session.execute(&update).await? {
        0 => Err(DbError::NotFound { what: "location", key: format!("{id} of image {image}") }),
        _ => Ok(()),
    }
}

struct Restore {
    image: String,
    location: i64,
}

impl UnitOfWork for Restore {
    type Output = ();
    const NAME: &'static str = "restore location";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        set(session, Query::update(), &self.image, self.location, clock::now(), "active").await
    }
}

struct GoneWith {
    image: String,
}

impl UnitOfWork for GoneWith {
    type Output = Vec<String>;
    const NAME: &'static str = "look at the locations of a deleted image";

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, DbError> {
        let time = Query::select()
            .column("deleted_at")
            .from("images")
            .and_where(Expr::col("id").eq(self.image.as_str()))
            .take();
        let query = Query::select()
            .column("value")
            .from("image_locations")
            .and_where(Expr::col("image_id").eq(self.image.as_str()))
            .and_where(live("image_locations").not())
            .and_where(Expr::col("deleted_at").in_subquery(time))
            .take();
        let stored = session.rows(&query, |row| Columns::of(row).text()).await?;
        // One that was encrypted with another key is no place that could be removed.
        Ok(stored.into_iter().filter_map(|url| session.unseal(url).ok()).collect())
    }
}

struct DropPlaceholders {
    image: String,
}

impl UnitOfWork for DropPlaceholders {
    type Output = ();
    const NAME: &'static str = "delete placeholder locations";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        drop_placeholders_of(session, &self.image).await
    }
}
