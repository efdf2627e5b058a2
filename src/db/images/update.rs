//! Changing an image.

use std::collections::{HashMap, HashSet};

use sea_query::{Expr, ExprTrait, Query, UpdateStatement};
use time::PrimitiveDateTime;

use super::atomic::ATOMIC_PROPERTIES;
use super::columns::{ID_LENGTH, is_in_status, value};
use super::get::read;
use super::ownership::Ownership;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::{ImageRecord, ImageUpdate, LocationRecord, OtherLocations, OtherProperties};
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::{live, soft_delete};
use crate::db::{children, locations, reserved, tags, unreadable};

/// Changes an image that is not deleted, if its status is one of `from` (any, if `None`), in one transaction: of two
/// rivals for a transition one wins. Returns the image as it is then (`image_update` in
/// `glance/db/sqlalchemy/api.py`).
///
/// # Errors
/// [`DbError::NotFound`] for an image, or a location with an id, that is not there; [`DbError::StateConflict`] if the
/// status is another one, [`DbError::LocationsChanged`] if the locations are; then nothing has changed.
pub async fn update(db: &Db, id: &str, change: ImageUpdate, from: Option<&[&str]>) -> Result<ImageRecord, DbError> {
    change_as(db, id, change, from, Ownership::Unasked).await
}

/// As [`update`], and `token` becomes the owner of the image's data (see [`ownership`](super::ownership)).
pub async fn take(db: &Db, id: &str, change: ImageUpdate, from: &[&str], token: &str) -> Result<(), DbError> {
    change_as(db, id, change, Some(from), Ownership::Take(token.to_owned())).await.map(drop)
}

/// As [`update`], and nobody is the owner of the image's data any more.
///
/// # Errors
/// As there; [`DbError::StateConflict`] also if the owner is not `token`.
pub async fn give_back(db: &Db, id: &str, change: ImageUpdate, from: &[&str], token: &str) -> Result<(), DbError> {
    change_as(db, id, change, Some(from), Ownership::GiveBack(token.to_owned())).await.map(drop)
}

/// As [`update`] where `token` owns the image's data or nobody does, in a transaction that does more.
///
/// # Errors
/// As [`give_back`].
pub(in crate::db) async fn change_owned(
    session: &mut Session,
    id: &str,
    change: &ImageUpdate,
    from: &[String],
    token: &str,
) -> Result<(), DbError> {
    let ownership = Ownership::Ask(token.to_owned());
    let update = Update { id: id.to_owned(), change: change.clone(), from: Some(from.to_vec()), ownership };
    update.run(session).await.map(drop)
}

/// As [`update`] of an image in the status `from`, and `token` becomes the owner of its data if `former` is, or nobody where there is
/// none; in a transaction that does more.
///
/// # Errors
/// As [`update`]; [`DbError::StateConflict`] also if the owner is another one.
pub(in crate::db) async fn change_and_take_from(
    session: &mut Session,
    id: &str,
    change: &ImageUpdate,
    from: &str,
    former: Option<&str>,
    token: &str,
) -> Result<(), DbError> {
    let ownership = Ownership::TakeFrom(former.map(str::to_owned), token.to_owned());
    let update = Update { id: id.to_owned(), change: change.clone(), from: Some(vec![from.to_owned()]), ownership };
    update.run(session).await.map(drop)
}

async fn change_as(
    db: &Db,
    id: &str,
    change: ImageUpdate,
    from: Option<&[&str]>,
    ownership: Ownership,
) -> Result<ImageRecord, DbError> {
    if id.len() > ID_LENGTH {
        return Err(DbError::no_image(id));
    }
    let from = from.map(|states| states.iter().map(|&state| state.to_owned()).collect());
    db.write(Update { id: id.to_owned(), change, from, ownership }).await
}

struct Update {
    id: String,
    change: ImageUpdate,
    from: Option<Vec<String>>,
    ownership: Ownership,
}

impl UnitOfWork for Update {
    type Output = ImageRecord;
    const NAME: &'static str = "update image";

    async fn run(&self, session: &mut Session) -> Result<ImageRecord, DbError> {
        let now = clock::now();
        // First of all: it also takes the lock of the row, which keeps other updates of the same image away.
        let mut update = columns(&self.change, now);
        update.and_where_option(self.ownership.condition(session.dialect(), &self.id));
        claim(session, &self.id, self.from.as_deref(), self.change.status.as_deref(), update).await?;
        self.ownership.apply(session, &self.id, now).await?;
        if let Some(properties) = &self.change.properties {
            set_properties(session, &self.id, now, properties, &self.change.other_properties).await?;
        }
        if let Some(wanted) = &self.change.tags {
            tags::set_all(session, &self.id, now, wanted).await?;
        }
        if let Some(wanted) = &self.change.locations {
            // The image's row is locked: whoever else changes locations this way waits, and then finds these changed.
            let found = read(session, &self.id, false).await?.map(|image| image.locations).unwrap_or_default();
            if let Some(expected) = &self.change.read_locations {
                locations::check_unchanged(&self.id, expected, &found)?;
            }
            set_locations(session, &self.id, now, wanted, &found, &self.change).await?;
        }
        read(session, &self.id, false).await?.ok_or_else(|| DbError::no_image(&self.id))
    }
}

/// Runs the update on the image if it is not deleted and [in one of the states](is_in_status).
pub(super) async fn claim(
    session: &mut Session,
    id: &str,
    from: Option<&[String]>,
    next: Option<&str>,
    mut update: UpdateStatement,
) -> Result<(), DbError> {
    update.and_where(Expr::col("id").eq(id)).and_where(live("images"));
    if let Some(states) = from {
        update.cond_where(is_in_status(states));
    }
    if session.execute(&update).await? > 0 {
        return Ok(());
    }
    let query = Query::select()
        .column("status")
        .from("images")
        .and_where(Expr::col("id").eq(id))
        .and_where(live("images"))
        .take();
    let status = |row: &dyn Row| Ok(unreadable::or(id, Columns::of(row).text(), String::new));
    let current = session.row(&query, status).await?;
    let current = current.ok_or_else(|| DbError::no_image(id))?;
    Err(DbError::StateConflict {
        id: id.to_owned(),
        current,
        next: next.map(str::to_owned),
        wanted: from.unwrap_or_default().to_vec(),
    })
}

fn columns(change: &ImageUpdate, now: PrimitiveDateTime) -> UpdateStatement {
    let mut update = Query::update();
    update.table("images").value("updated_at", now);
    for (column, given) in change.given() {
        update.value(column.name(), value(column, given));
    }
    update
}

/// Rows that one statement names, far below the parameters that each database allows.
const MOST_IDS: usize = 1000;

struct PropertyRow {
    id: i64,
    name: String,
    /// `None` where it cannot be read, so that it is like no other.
    value: Option<Option<String>>,
    deleted: bool,
}

/// A deleted row is revived when its name comes again, since the pair of image and name is unique; a row that is as
/// wanted is not touched.
///
/// # Errors
/// [`DbError::Duplicate`], [`DbError::Reserved`], [`DbError::InTheWay`].
async fn set_properties(
    session: &mut Session,
    image: &str,
    now: PrimitiveDateTime,
    wanted: &[(String, Option<String>)],
    others: &OtherProperties,
) -> Result<(), DbError> {
    let query = Query::select()
        .columns(["id", "name", "value", "deleted"])
        .from("image_properties")
        .and_where(Expr::col("image_id").eq(image))
        .take();
    let rows = session
        .rows(&query, |row| {
            let mut columns = Columns::of(row);
            let id = columns.integer()?;
            Ok(PropertyRow {
                id,
                // It is nobody's name, and that of no other row.
                name: unreadable::or(image, columns.text(), || format!("\u{fffd} {id}")),
                value: unreadable::or(image, columns.maybe_text().map(Some), || None),
                deleted: unreadable::or(image, columns.flag(), || false),
            })
        })
        .await?;
    let mut stored: HashMap<&str, &PropertyRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
    let is_ours = |name: &str| !ATOMIC_PROPERTIES.contains(&name);
    let (mut fresh, mut changed) = (Vec::new(), Vec::new());
    for property in wanted.iter().filter(|(name, _)| is_ours(name)) {
        let (name, value) = property;
        match stored.remove(name.as_str()) {
            None => fresh.push(property),
            Some(row) if !row.deleted && row.value.as_ref() == Some(value) => {}
            Some(row) => {
                let update = Query::update()
                    .table("image_properties")
                    .values([("value", value.clone().into()), ("deleted", false.into()), ("updated_at", now.into())])
                    .and_where(Expr::col("id").eq(row.id))
                    .take();
                session.execute(&update).await?;
                changed.push(name.as_str());
            }
        }
    }
    reserved::check(session, image, changed.into_iter()).await?;
    let deleted = stored.values().filter(|row| row.deleted).map(|row| row.name.as_str());
    reserved::make_way(session, image, deleted, fresh.iter().map(|(name, _)| name.as_str())).await?;
    children::insert_properties(session, image, now, &fresh).await?;
    let gone = gone(stored.values().copied().filter(|row| !row.deleted && is_ours(&row.name)), others);
    for ids in gone.chunks(MOST_IDS) {
        let ids = ids.iter().copied();
        session.execute(&soft_delete("image_properties", now).and_where(Expr::col("id").is_in(ids)).take()).await?;
    }
    Ok(())
}

/// The rows of those properties that go, of all that the image is not to have now.
fn gone<'a>(rows: impl Iterator<Item = &'a PropertyRow>, others: &OtherProperties) -> Vec<i64> {
    let named: Option<HashSet<&str>> = match others {
        OtherProperties::Delete => None,
        OtherProperties::DeleteNamed(names) => Some(names.iter().map(String::as_str).collect()),
    };
    let goes = |name: &str| named.as_ref().is_none_or(|named| named.contains(name));
    rows.filter(|row| goes(&row.name)).map(|row| row.id).collect()
}

/// The locations that are to have a row which is not so, each with its row, and with what is in it.
fn differing<'a>(
    wanted: &'a [LocationRecord],
    found: &'a [LocationRecord],
) -> impl Iterator<Item = (i64, &'a LocationRecord, Option<&'a LocationRecord>)> {
    let found: HashMap<i64, &LocationRecord> = found.iter().filter_map(|known| Some((known.id?, known))).collect();
    let with_rows = wanted.iter().filter_map(|location| Some((location.id?, location)));
    with_rows.filter_map(move |(id, location)| {
        let known = found.get(&id).copied();
        (known != Some(location)).then_some((id, location, known))
    })
}

/// `_image_locations_set` in `glance/db/sqlalchemy/api.py`, except that an empty list empties too, and that a row which is as
/// wanted is not touched: what was read of it may only stand in for something that cannot be read.
async fn set_locations(
    session: &mut Session,
    image: &str,
    now: PrimitiveDateTime,
    wanted: &[LocationRecord],
    found: &[LocationRecord],
    change: &ImageUpdate,
) -> Result<(), DbError> {
    let mut kept: HashSet<i64> = wanted.iter().filter_map(|location| location.id).collect();
    if change.read_locations.is_some() {
        // Whoever has read the active ones says nothing about others.
        kept.extend(found.iter().filter(|location| !location.is_active()).filter_map(|location| location.id));
    }
    let status = match change.other_locations {
        OtherLocations::Delete => "deleted",
        OtherLocations::Schedule => "pending_delete",
    };
    let gone: Vec<i64> = found.iter().filter_map(|location| location.id).filter(|id| !kept.contains(id)).collect();
    for ids in gone.chunks(MOST_IDS) {
        let mut update = soft_delete("image_locations", now);
        update.value("status", status).and_where(Expr::col("id").is_in(ids.iter().copied()));
        session.execute(&update).await?;
    }
    for (id, location, known) in differing(wanted, found) {
        locations::store(session, image, id, now, location, known).await?;
    }
    let fresh: Vec<&LocationRecord> = wanted.iter().filter(|location| location.id.is_none()).collect();
    children::insert_locations(session, image, now, &fresh).await
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_hundred_thousand_properties_and_locations_take_no_time() {
        let name = |number: i64| format!("a_property_with_a_name_of_some_length_{number:08}");
        let row = |id| PropertyRow { id, name: name(id), value: Some(None), deleted: false };
        let rows: Vec<PropertyRow> = (0..100_000).map(row).collect();
        let others = OtherProperties::DeleteNamed((0..200_000).rev().step_by(2).map(name).collect());
        let location = |number: i64| LocationRecord {
            id: (number % 4 > 0).then_some(number),
            ..LocationRecord::active(name(number), serde_json::Map::new())
        };
        let found: Vec<LocationRecord> = (0..100_000).map(location).collect();
        let mut wanted: Vec<LocationRecord> = (0..100_000).rev().map(location).collect();
        wanted[0].url.push('x');
        wanted.push(location(100_001));

        let started = Instant::now();
        assert!(gone(rows.iter(), &others).into_iter().eq((0..100_000).filter(|id| id % 2 == 1)));
        let known = |number: usize| found.get(number);
        let expected = [(99_999, &wanted[0], known(99_999)), (100_001, &wanted[100_000], None)];
        assert!(differing(&wanted, &found).eq(expected));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(gone(rows.iter(), &OtherProperties::Delete).len(), rows.len());
    }
}
