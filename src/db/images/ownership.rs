//! Who writes an image's data, or removes it: a token beside the image, so that whoever cleans up after a worker that died can tell
//! its work from that of others.
//!
//! The token is the value of a row in `image_properties` that is marked as deleted and whose name no client may set. Upstream and
//! this server skip deleted rows wherever they show or compare properties, an update by upstream leaves the value as it is,
//! and `db purge` takes the row with others of its age (`glance/db/sqlalchemy/api.py`: `_set_properties_for_image`,
//! `purge_deleted_rows`). So the schema stays, and nothing shows.
//!
//! Under upstream a user may have set a property whose name is another to everybody but MySQL's collation, which has one place for
//! both (see [`reserved`]). It is the user's and stays as it is; the token then has a second name.

use std::collections::HashMap;

use sea_query::{Expr, ExprTrait, Query, SelectStatement};
use time::PrimitiveDateTime;

use super::columns::ID_LENGTH;
use super::get::read;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::model::ImageRecord;
use crate::db::reserved::{self, DATA_OWNER, DATA_SIZE};
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::{Session, Transaction};
use crate::db::sql::padded;

/// All names of notes about the owner of an image's data: what workers find by them is theirs.
pub(in crate::db) const NOTES: [&str; 4] = [DATA_OWNER[0], DATA_OWNER[1], DATA_SIZE[0], DATA_SIZE[1]];

/// What a change of an image does to the ownership of its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Nothing.
    Unasked,
    /// This token becomes the owner, whoever was.
    Take(String),
    /// The second token becomes the owner, if the first is, or if nobody is and there is no first.
    TakeFrom(Option<String>, String),
    /// Nobody is the owner from then on. Refused when another token is.
    GiveBack(String),
    /// Nothing, but refused when another token is the owner.
    Ask(String),
}

/// An image, deleted or not, and the owner of its data.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageAndOwner {
    pub image: ImageRecord,
    /// The token.
    pub owner: Option<String>,
}

/// How an image stands, `None` if there is no such row. Waits for transactions that have changed the image and are not committed
/// yet, and on a node of Galera for what other nodes have committed: after a commit whose answer was lost, this tells what has come of it.
///
/// # Errors
/// [`DbError::Timeout`] and the like when such a transaction does not end.
pub async fn with_owner(db: &Db, id: &str) -> Result<Option<ImageAndOwner>, DbError> {
    if id.len() > ID_LENGTH {
        return Ok(None);
    }
    db.write(Look { id: id.to_owned() }).await
}

/// Notes how many bytes are about to be written to an image. For the owner of its data alone.
///
/// # Errors
/// Those of the database.
pub async fn announce_size(db: &Db, id: &str, bytes: u64) -> Result<(), DbError> {
    db.write(AnnounceSize { id: id.to_owned(), bytes }).await
}

struct AnnounceSize {
    id: String,
    bytes: u64,
}

impl UnitOfWork for AnnounceSize {
    type Output = ();
    const NAME: &'static str = "note the size of data in flight";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        put(session, &self.id, DATA_SIZE, &self.bytes.to_string(), clock::now()).await
    }
}

struct Look {
    id: String,
}

impl UnitOfWork for Look {
    type Output = Option<ImageAndOwner>;
    const NAME: &'static str = "look at the owner of an image's data";
    // The node that was asked to commit may be gone, and this one may not have come to its change.
    const TRANSACTION: Transaction = Transaction::CaughtUp;

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        // First of all, as MySQL fixes what a transaction sees by its first query that takes no lock. SQLite has one lock, and a
        // transaction that writes has it from the start.
        let lock = Query::select()
            .column("id")
            .from("images")
            .and_where(Expr::col("id").eq(self.id.as_str()))
            .lock_exclusive()
            .take();
        if session.row(&lock, |row| Columns::of(row).text()).await?.is_none() {
            return Ok(None);
        }
        let owner = owner(session, &self.id).await?;
        Ok(read(session, &self.id, true).await?.map(|image| ImageAndOwner { image, owner }))
    }
}

impl Ownership {
    /// What must hold of the image's row besides its status.
    pub(super) fn condition(&self, dialect: Dialect, id: &str) -> Option<Expr> {
        match self {
            Self::Unasked | Self::Take(_) => None,
            Self::TakeFrom(None, _) => {
                let mut owned = tokens(dialect, id);
                owned.expr(Expr::cust("1"));
                Some(Expr::exists(owned).not())
            }
            Self::TakeFrom(Some(former), _) => {
                let mut owned = tokens(dialect, id);
                owned.expr(Expr::cust("1")).and_where(Expr::col("value").eq(former.as_str()));
                Some(Expr::exists(owned))
            }
            // No token row at all (`db purge` takes it) counts as ours.
            Self::GiveBack(token) | Self::Ask(token) => {
                let mut others = tokens(dialect, id);
                others.expr(Expr::cust("1")).and_where(Expr::col("value").ne(token.as_str()));
                Some(Expr::exists(others).not())
            }
        }
    }

    /// Writes it down, in the transaction that has just changed the image's row and so holds its lock.
    pub(super) async fn apply(&self, session: &mut Session, id: &str, now: PrimitiveDateTime) -> Result<(), DbError> {
        match self {
            Self::Unasked | Self::Ask(_) => Ok(()),
            Self::Take(token) | Self::TakeFrom(_, token) => put(session, id, DATA_OWNER, token, now).await,
            Self::GiveBack(_) => clear(session, id).await,
        }
    }
}

/// Whether anybody owns the data.
pub(super) async fn is_owned(session: &mut Session, id: &str) -> Result<bool, DbError> {
    Ok(owner(session, id).await?.is_some())
}

/// The token of whoever owns the data.
async fn owner(session: &mut Session, id: &str) -> Result<Option<String>, DbError> {
    let mut query = tokens(session.dialect(), id);
    query.column("value");
    Ok(session.row(&query, |row| Columns::of(row).maybe_text()).await?.flatten())
}

/// The tokens of whoever owns the data of these images, where somebody does.
pub(in crate::db) async fn owners(
    session: &mut Session,
    images: Vec<String>,
) -> Result<HashMap<String, String>, DbError> {
    if images.is_empty() {
        return Ok(HashMap::new());
    }
    let query = Query::select()
        .columns(["image_id", "value"])
        .from("image_properties")
        .and_where(Expr::col("image_id").is_in(padded(images)))
        .and_where(reserved::is_named(session.dialect(), &DATA_OWNER))
        .take();
    let read = |row: &dyn Row| {
        let mut columns = Columns::of(row);
        Ok((columns.text()?, columns.maybe_text()?))
    };
    let found = session.rows(&query, read).await?;
    Ok(found.into_iter().filter_map(|(image, token)| Some((image, token?))).collect())
}

/// Removes the token, whosever it is, and what its owner has announced.
pub(super) async fn clear(session: &mut Session, id: &str) -> Result<(), DbError> {
    let delete = Query::delete()
        .from_table("image_properties")
        .and_where(Expr::col("image_id").eq(id))
        .and_where(reserved::is_named(session.dialect(), &NOTES))
        .take();
    session.execute(&delete).await.map(drop)
}

/// # Errors
/// [`DbError::InTheWay`] if none of the names has a place.
async fn put(
    session: &mut Session,
    id: &str,
    names: [&'static str; 2],
    value: &str,
    now: PrimitiveDateTime,
) -> Result<(), DbError> {
    if replace(session, id, names, value, now).await? {
        return Ok(());
    }
    let added = add(session, id, names, value, now).await;
    if matches!(added, Err(DbError::InTheWay(_))) && reserved::drop_removed(session, id, &names).await? {
        return add(session, id, names, value, now).await;
    }
    added
}

/// False: there is none of these names.
async fn replace(
    session: &mut Session,
    id: &str,
    names: [&'static str; 2],
    value: &str,
    now: PrimitiveDateTime,
) -> Result<bool, DbError> {
    let replace = Query::update()
        .table("image_properties")
        .values([("value", value.into()), ("deleted", true.into()), ("deleted_at", now.into())])
        .value("updated_at", now)
        .and_where(Expr::col("image_id").eq(id))
        .and_where(reserved::is_named(session.dialect(), &names))
        .take();
    Ok(session.execute(&replace).await? > 0)
}

/// By the first of the names that has a place.
async fn add(
    session: &mut Session,
    id: &str,
    names: [&'static str; 2],
    value: &str,
    now: PrimitiveDateTime,
) -> Result<(), DbError> {
    let mut outcome = Ok(());
    for name in names {
        let error = match insert(session, id, name, value, now).await {
            Err(error) if error.is_duplicate() && session.takes_for_equal() => error,
            done => return done,
        };
        match reserved::clash(session, id, &[name]).await? {
            Some(clash) => outcome = Err(clash),
            // No user's, but one that somebody has written since there was none, as READ COMMITTED lets them.
            None => return if replace(session, id, names, value, now).await? { Ok(()) } else { Err(error) },
        }
    }
    outcome
}

async fn insert(
    session: &mut Session,
    id: &str,
    name: &'static str,
    value: &str,
    now: PrimitiveDateTime,
) -> Result<(), DbError> {
    let mut insert = Query::insert();
    let columns = ["image_id", "name", "value", "created_at", "updated_at", "deleted_at", "deleted"];
    insert.into_table("image_properties").columns(columns).values_panic([
        id.into(),
        name.into(),
        value.into(),
        now.into(),
        now.into(),
        // Upstream purges rows by this time, and cannot purge an image before its properties.
        now.into(),
        true.into(),
    ]);
    session.execute(&insert).await.map(drop)
}

/// The image's row with the token, without columns yet.
fn tokens(dialect: Dialect, id: &str) -> SelectStatement {
    Query::select()
        .from("image_properties")
        .and_where(Expr::col("image_id").eq(id))
        .and_where(reserved::is_named(dialect, &DATA_OWNER))
        .take()
}
