//! Properties that serve as locks between requests and between workers.

use sea_query::{Expr, ExprTrait, Query};
use time::PrimitiveDateTime;

use super::ownership::{self, Ownership};
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::reserved;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::live;

/// Properties that only a [`TaskLock`] sets and [`delete_property_atomic`] removes (`IMAGE_ATOMIC_PROPS` in
/// `glance/db/__init__.py`): an update with an old copy of the image must not undo a lock that it does not know of.
pub(super) const ATOMIC_PROPERTIES: &[&str] = &[reserved::LOCK];

/// Deletes a property if it has this very value (`image_delete_property_atomic`). The row goes, as upstream's; here also where it is marked
/// as deleted: an image whose deletion is taken back would have it again, and nobody who removes it.
///
/// # Errors
/// [`DbError::NotFound`] if there is no such property, or it has another value.
pub async fn delete_property_atomic(db: &Db, id: &str, name: &str, value: &str) -> Result<(), DbError> {
    db.write(Delete { id: id.to_owned(), name: name.to_owned(), value: value.to_owned() }).await
}

/// An image that a task wants for itself.
#[derive(Clone, Debug)]
pub struct TaskLock {
    pub image: String,
    /// The name of the property that gets the task's id.
    pub property: &'static str,
    /// The status that the image must be in.
    pub status: String,
    /// Whether the task may own the data where somebody else does.
    pub takes_over: bool,
}

/// Gives the image the property, and makes its value the owner of the image's data; in a transaction that does more.
///
/// # Errors
/// As [`set`]; [`DbError::Duplicate`] also if somebody owns the data and that is not to be taken over, [`DbError::StateConflict`],
/// [`DbError::NotFound`] if there is no such image.
pub(in crate::db) async fn lock_and_own(
    session: &mut Session,
    lock: &TaskLock,
    value: &str,
    now: PrimitiveDateTime,
) -> Result<(), DbError> {
    let id = lock.image.as_str();
    let held = Query::select()
        .column("status")
        .from("images")
        .and_where(Expr::col("id").eq(id))
        .and_where(live("images"))
        .lock_exclusive()
        .take();
    let status = session.row(&held, |row| Columns::of(row).text()).await?.ok_or_else(|| DbError::no_image(id))?;
    if status != lock.status {
        let wanted = vec![lock.status.clone()];
        return Err(DbError::StateConflict { id: id.to_owned(), current: status, next: None, wanted });
    }
    if !lock.takes_over && ownership::is_owned(session, id).await? {
        return Err(DbError::Duplicate { what: "owner", key: id.to_owned() });
    }
    set(session, id, lock.property, value).await?;
    Ownership::Take(value.to_owned()).apply(session, id, now).await
}

/// Gives the image the property if it does not have it with this value already, in a transaction that does more.
///
/// # Errors
/// [`DbError::Duplicate`] if it has another value; [`DbError::InTheWay`].
pub(in crate::db) async fn lock(session: &mut Session, id: &str, name: &str, value: &str) -> Result<(), DbError> {
    let query = Query::select()
        .columns(["name", "value"])
        .from("image_properties")
        .and_where(Expr::col("image_id").eq(id))
        .and_where(Expr::col("name").eq(name))
        .and_where(live("image_properties"))
        .take();
    let read = |row: &dyn Row| {
        let mut columns = Columns::of(row);
        Ok((columns.text()?, columns.maybe_text()?))
    };
    match session.row(&query, read).await? {
        Some((found, _)) if found != name => Err(DbError::InTheWay(found)),
        Some((_, Some(known))) if known == value => Ok(()),
        Some(_) => Err(DbError::Duplicate { what: "property", key: name.to_owned() }),
        None => set(session, id, name, value).await,
    }
}

/// As [`delete_property_atomic`] if the property is there, and `token` owns the image's data no more; in a transaction that
/// does more.
pub(in crate::db) async fn unlock_and_disown(
    session: &mut Session,
    id: &str,
    name: &str,
    value: &str,
    token: &str,
) -> Result<(), DbError> {
    let delete = Delete { id: id.to_owned(), name: name.to_owned(), value: value.to_owned() };
    match delete.run(session).await {
        // Another task has taken the lock over; that one keeps it.
        Ok(()) | Err(DbError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    Ownership::GiveBack(token.to_owned()).apply(session, id, clock::now()).await
}

/// Gives the image a property that it does not have (`image_set_property_atomic` in `glance/db/sqlalchemy/api.py`).
///
/// # Errors
/// [`DbError::Duplicate`] if it has one of that name: of several rivals one succeeds. [`DbError::InTheWay`].
async fn set(session: &mut Session, id: &str, name: &str, value: &str) -> Result<(), DbError> {
    let now = clock::now();
    let revive = Query::update()
        .table("image_properties")
        // The name as well, as MySQL and MariaDB also find one that a user has set under upstream in capital letters, and removed.
        .values([("name", name.into()), ("value", value.into())])
        .values([("deleted", false.into()), ("updated_at", now.into())])
        .and_where(Expr::col("image_id").eq(id))
        .and_where(Expr::col("name").eq(name))
        .and_where(live("image_properties").not())
        .take();
    if session.execute(&revive).await? > 0 {
        return Ok(());
    }
    let mut insert = Query::insert();
    insert.into_table("image_properties").columns(["image_id", "name", "value", "created_at", "updated_at", "deleted"]);
    insert.values_panic([id.into(), name.into(), value.into(), now.into(), now.into(), false.into()]);
    match session.execute(&insert).await {
        Err(error) if error.is_duplicate() => {
            let clash = reserved::clash(session, id, &[name]).await?;
            Err(clash.unwrap_or_else(|| DbError::Duplicate { what: "property", key: name.to_owned() }))
        }
        done => done.map(drop),
    }
}

struct Delete {
    id: String,
    name: String,
    value: String,
}

impl UnitOfWork for Delete {
    type Output = ();
    const NAME: &'static str = "delete property atomically";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let delete = Query::delete()
            .from_table("image_properties")
            .and_where(Expr::col("image_id").eq(self.id.as_str()))
            .and_where(Expr::col("name").eq(self.name.as_str()))
            .and_where(Expr::col("value").eq(self.value.as_str()))
            .take();
        match session.execute(&delete).await? {
            0 => Err(DbError::NotFound { what: "property", key: self.name.clone() }),
            _ => Ok(()),
        }
    }
}
