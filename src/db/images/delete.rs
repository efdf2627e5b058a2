//! Deleting an image, and taking that back.

use sea_query::{Expr, ExprTrait, Query, UpdateStatement};
use time::PrimitiveDateTime;

use super::columns::ID_LENGTH;
use super::get::read;
use super::ownership::{self, Ownership};
use super::update::claim;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::locations;
use crate::db::model::LocationRecord;
use crate::db::retry::UnitOfWork;
use crate::db::session::Session;
use crate::db::sql::{live, soft_delete};

/// Marks the image and all that hangs on it as deleted, if its status is one of `from` (any, if `None`), and gives it
/// the status: `deleted`, or `pending_delete` while its data is still to be erased. Locations that are not deleted yet
/// take it too (`image_destroy` in `glance/db/sqlalchemy/api.py`).
///
/// # Errors
/// [`DbError::NotFound`], also for an image that is deleted already; [`DbError::StateConflict`].
pub async fn delete(db: &Db, id: &str, status: &str, from: Option<&[&str]>) -> Result<(), DbError> {
    delete_as(db, id, status, from, None, Ownership::Unasked).await
}

/// As [`delete`], of an image at whose `locations`, as they were read, nobody is to remove data.
///
/// # Errors
/// As there; [`DbError::LocationsChanged`] if the image has other active locations by now.
pub async fn delete_without_data(
    db: &Db,
    id: &str,
    status: &str,
    from: &[&str],
    locations: &[LocationRecord],
) -> Result<(), DbError> {
    delete_as(db, id, status, Some(from), Some(locations), Ownership::Unasked).await
}

/// As [`delete`], and `token` becomes the owner of the image's data, which lies at the `locations` that were read (see
/// [`ownership`](super::ownership)).
///
/// # Errors
/// As there; [`DbError::LocationsChanged`] if the image has other active locations by now.
pub async fn delete_and_take(
    db: &Db,
    id: &str,
    status: &str,
    from: &[&str],
    locations: &[LocationRecord],
    token: &str,
) -> Result<(), DbError> {
    delete_as(db, id, status, Some(from), Some(locations), Ownership::Take(token.to_owned())).await
}

async fn delete_as(
    db: &Db,
    id: &str,
    status: &str,
    from: Option<&[&str]>,
    read_locations: Option<&[LocationRecord]>,
    ownership: Ownership,
) -> Result<(), DbError> {
    if id.len() > ID_LENGTH {
        return Err(DbError::no_image(id));
    }
    let from = from.map(|states| states.iter().map(|&state| state.to_owned()).collect());
    let read_locations = read_locations.map(<[_]>::to_vec);
    db.write(Delete { id: id.to_owned(), status: status.to_owned(), from, read_locations, ownership }).await
}

/// Takes back a deletion whose data could not be removed: the image and all that went with it are there again, with the
/// status and the time of change that it had; nobody owns its data. `removed`: rows of locations whose data is gone; they stay deleted.
///
/// # Errors
/// [`DbError::NotFound`] if there is no such image, or it is not deleted.
pub async fn restore(
    db: &Db,
    id: &str,
    status: &str,
    updated_at: PrimitiveDateTime,
    removed: Vec<i64>,
) -> Result<(), DbError> {
    db.write(Restore { id: id.to_owned(), status: status.to_owned(), updated_at, removed }).await
}

/// What a deletion takes with the image.
const CHILDREN: [&str; 4] = ["image_locations", "image_properties", "image_members", "image_tags"];

/// The `deleted_at` of what is there.
const NEVER: Option<PrimitiveDateTime> = None;

/// Status of an image, and of its locations, whose data the scrubber is to remove.
const PENDING_DELETE: &str = "pending_delete";

/// The status of a location: `to` where it is `from`, else what it is. A deletion that is taken back must leave each as it was.
fn turned(from: &'static str, to: &'static str) -> Expr {
    let status = Expr::col("status");
    Expr::case(status.clone().eq(from), to).finally(status).into()
}

struct Delete {
    id: String,
    status: String,
    from: Option<Vec<String>>,
    read_locations: Option<Vec<LocationRecord>>,
    ownership: Ownership,
}

impl UnitOfWork for Delete {
    type Output = ();
    const NAME: &'static str = "delete image";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let now = clock::now();
        let mut image = soft_delete("images", now);
        image.value("status", self.status.as_str());
        claim(session, &self.id, self.from.as_deref(), Some(&self.status), image).await?;
        if let Some(expected) = &self.read_locations {
            // The image's row is locked: whoever else changes its locations waits, or has done so before.
            let found = read(session, &self.id, true).await?.map(|image| image.locations).unwrap_or_default();
            locations::check_unchanged(&self.id, expected, &found)?;
        }
        // Before the properties go with the image: those that are marked as deleted until then their user has removed.
        self.ownership.apply(session, &self.id, now).await?;
        for table in CHILDREN {
            let mut update = soft_delete(table, now);
            if table == "image_locations" {
                // The scrubber looks for the locations that wait for it.
                let waits = self.status == PENDING_DELETE;
                update.value("status", turned("active", if waits { PENDING_DELETE } else { "deleted" }));
            }
            update.and_where(Expr::col("image_id").eq(self.id.as_str())).and_where(live(table));
            session.execute(&update).await?;
        }
        Ok(())
    }
}

struct Restore {
    id: String,
    status: String,
    updated_at: PrimitiveDateTime,
    removed: Vec<i64>,
}

impl UnitOfWork for Restore {
    type Output = ();
    const NAME: &'static str = "restore image";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let image = |update: &mut UpdateStatement| update.and_where(Expr::col("id").eq(self.id.as_str())).take();
        let mut back = Query::update();
        back.table("images").values([("deleted", false.into()), ("status", self.status.as_str().into())]);
        back.value("updated_at", self.updated_at).and_where(live("images").not());
        if session.execute(&image(&mut back)).await? == 0 {
            return Err(DbError::no_image(&self.id));
        }
        // It bears the time of the deletion too.
        ownership::clear(session, &self.id).await?;
        // What went with the image bears its time of deletion; what had been deleted before does not, unless it was in the same
        // second on MySQL, which keeps whole ones.
        let time =
            Query::select().column("deleted_at").from("images").and_where(Expr::col("id").eq(self.id.as_str())).take();
        for table in CHILDREN {
            let mut update = Query::update();
            update.table(table).values([("deleted", false.into()), ("deleted_at", NEVER.into())]);
            if table == "image_locations" {
                update.value("status", turned("deleted", "active"));
                if !self.removed.is_empty() {
                    update.and_where(Expr::col("id").is_not_in(self.removed.iter().copied()));
                }
            }
            update.and_where(Expr::col("image_id").eq(self.id.as_str())).and_where(live(table).not());
            update.and_where(Expr::col("deleted_at").in_subquery(time.clone()));
            session.execute(&update).await?;
        }
        let mut done = Query::update();
        done.table("images").value("deleted_at", NEVER);
        session.execute(&image(&mut done)).await.map(drop)
    }
}
