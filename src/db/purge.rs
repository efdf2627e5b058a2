//! Rows that were marked as deleted long ago are removed for good (`purge_deleted_rows` of `glance/db/sqlalchemy/api.py`).
//!
//! Upstream does it in one statement for a table. Here it is many small transactions with pauses between them, so that requests
//! hardly notice. There is no index for what is to go, so a table is walked through once, in the order of its keys. Where only so
//! many rows may go, the time at which the youngest of them was deleted is found first: the oldest are to go, as upstream has it.
//!
//! Where many rows were deleted at one time, a limit picks some of them in each table by itself: an image may go whose properties are
//! left. Upstream's statement then fails on the foreign key, each time. Here those of a row's children that are marked as deleted go in the
//! same transaction.

use std::time::Duration;

use sea_query::{DeleteStatement, Expr, ExprTrait, Order, Query, SelectStatement, Value};
use time::PrimitiveDateTime;
use tokio::time::{Instant, sleep};

use super::clock;
use super::connection::Db;
use super::dialect::Dialect;
use super::error::DbError;
use super::images::NOTES;
use super::reserved;
use super::retry::UnitOfWork;
use super::row::Columns;
use super::session::Session;
use super::sql::live;

/// A kind of row that is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// What belongs to tasks that are marked as deleted.
    TaskInfo,
    ImageProperties,
    ImageTags,
    ImageLocations,
    ImageMembers,
    Tasks,
    Images,
}

/// The keys of so many rows are looked up at once.
const CHUNK: u64 = 20_000;
/// Rows that are deleted by one transaction. On a busy machine even a small one takes long: fewer rows would not make it shorter.
const LEAST: usize = 128;
const MOST: usize = 1024;
/// A transaction is to take about this long: whoever waits for it hardly notices.
const AIM: Duration = Duration::from_millis(20);
/// The longest pause after a transaction.
const PAUSE: Duration = Duration::from_millis(100);

/// Is told how many rows are gone.
pub(crate) type Observer<'a> = &'a (dyn Fn(u64) + Send + Sync);

impl Table {
    /// Upstream's order: what refers to others first. Images are apart, because their ids must not be used again.
    pub(crate) const BUT_IMAGES: [Self; 6] =
        [Self::TaskInfo, Self::ImageProperties, Self::ImageTags, Self::ImageLocations, Self::ImageMembers, Self::Tasks];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TaskInfo => "task_info",
            Self::ImageProperties => "image_properties",
            Self::ImageTags => "image_tags",
            Self::ImageLocations => "image_locations",
            Self::ImageMembers => "image_members",
            Self::Tasks => "tasks",
            Self::Images => "images",
        }
    }

    fn key(self) -> &'static str {
        if self == Self::TaskInfo { "task_id" } else { "id" }
    }

    /// The tables whose rows refer to this one's, and by what.
    fn children(self) -> (&'static [Self], &'static str) {
        match self {
            Self::Tasks => (&[Self::TaskInfo], "task_id"),
            Self::Images => {
                (&[Self::ImageProperties, Self::ImageTags, Self::ImageLocations, Self::ImageMembers], "image_id")
            }
            _ => (&[], ""),
        }
    }

    fn has_text_keys(self) -> bool {
        matches!(self, Self::TaskInfo | Self::Tasks | Self::Images)
    }

    /// The table whose rows say when they were deleted.
    fn dated(self) -> &'static str {
        if self == Self::TaskInfo { "tasks" } else { self.name() }
    }

    /// Removes the rows whose `column` holds one of `values`, unless they are not marked as deleted any more, as a member that was added
    /// again.
    fn delete(self, column: &'static str, values: &[Value]) -> DeleteStatement {
        let mut delete = Query::delete();
        let values = values.iter().cloned().map(Expr::val);
        delete.from_table(self.name()).and_where(Expr::col(column).is_in(values));
        if self != Self::TaskInfo {
            delete.and_where(live(self.name()).not());
        }
        delete
    }

    /// The rows that were deleted before a time; what of them is wanted is left to add.
    fn rows(self, dialect: Dialect, deleted: Deleted) -> SelectStatement {
        let mut query = Query::select();
        query.from(self.name());
        if self == Self::TaskInfo {
            query.inner_join("tasks", Expr::col(("tasks", "id")).equals(("task_info", "task_id")));
        }
        let deleted_at = Expr::col((self.dated(), "deleted_at"));
        query.and_where(match deleted {
            Deleted::Before(time) => deleted_at.lt(time),
            Deleted::UpTo(time) => deleted_at.lte(time),
        });
        query.and_where(live(self.dated()).not());
        if self == Self::ImageProperties {
            // Marked as deleted so that nobody is shown them, these are in use as long as their image is there.
            let mut image = Query::select();
            image.expr(Expr::val(1)).from("images").and_where(live("images"));
            image.and_where(Expr::col(("images", "id")).equals(("image_properties", "image_id")));
            let in_use = reserved::is_named(dialect, &NOTES).and(Expr::exists(image));
            query.and_where(in_use.not());
        }
        query
    }
}

/// When rows were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deleted {
    Before(PrimitiveDateTime),
    UpTo(PrimitiveDateTime),
}

/// Looks for the time at which the row with this rank among the oldest was deleted; the oldest has the rank 0.
struct FindTime {
    table: Table,
    deleted: Deleted,
    rank: u64,
}

impl UnitOfWork for FindTime {
    type Output = Option<PrimitiveDateTime>;
    const NAME: &'static str = "find the age of rows to purge";

    async fn run(&self, session: &mut Session) -> Result<Option<PrimitiveDateTime>, DbError> {
        let deleted_at = (self.table.dated(), "deleted_at");
        let mut query = self.table.rows(session.dialect(), self.deleted);
        query.column(deleted_at).order_by(deleted_at, Order::Asc).limit(1).offset(self.rank);
        session.row(&query, |row| Columns::of(row).time()).await
    }
}

/// Looks for the next keys, in their order.
struct FindKeys {
    table: Table,
    deleted: Deleted,
    /// The last key that is known.
    after: Option<Value>,
    limit: u64,
}

impl UnitOfWork for FindKeys {
    type Output = Vec<Value>;
    const NAME: &'static str = "find rows to purge";

    async fn run(&self, session: &mut Session) -> Result<Vec<Value>, DbError> {
        let key = (self.table.name(), self.table.key());
        let mut query = self.table.rows(session.dialect(), self.deleted);
        query.column(key).order_by(key, Order::Asc).limit(self.limit);
        if let Some(after) = &self.after {
            query.and_where(Expr::col(key).gt(after.clone()));
        }
        if self.table.has_text_keys() {
            session.rows(&query, |row| Ok(Columns::of(row).text()?.into())).await
        } else {
            session.rows(&query, |row| Ok(Columns::of(row).integer()?.into())).await
        }
    }
}

struct Remove {
    table: Table,
    keys: Vec<Value>,
}

impl UnitOfWork for Remove {
    type Output = u64;
    const NAME: &'static str = "purge rows";

    async fn run(&self, session: &mut Session) -> Result<u64, DbError> {
        let (children, reference) = self.table.children();
        if !children.is_empty() {
            let keys = self.lock(session).await?;
            for child in children {
                session.execute(&child.delete(reference, &keys)).await?;
            }
            return session.execute(&self.table.delete(self.table.key(), &keys)).await;
        }
        session.execute(&self.table.delete(self.table.key(), &self.keys)).await
    }
}

impl Remove {
    /// Those of the rows that are still to go, none of which comes back until the end of the transaction.
    async fn lock(&self, session: &mut Session) -> Result<Vec<Value>, DbError> {
        let (table, key) = (self.table.name(), self.table.key());
        let keys = self.keys.iter().cloned().map(Expr::val);
        let query = Query::select()
            .column(key)
            .from(table)
            .and_where(Expr::col(key).is_in(keys))
            .and_where(live(table).not())
            .order_by(key, Order::Asc)
            .lock_exclusive()
            .take();
        session.rows(&query, |row| Ok(Columns::of(row).text()?.into())).await
    }
}

impl Db {
    /// Removes rows of a table that were marked as deleted more than `days` ago, `most` of them at most: the oldest. Returns how
    /// many.
    ///
    /// # Errors
    /// The first failure; rows that are gone by then stay so. [`DbError::is_reference`]: a row that is not marked as deleted refers to
    /// one.
    pub(crate) async fn purge(
        &self,
        table: Table,
        days: i64,
        most: Option<u64>,
        observe: Observer<'_>,
    ) -> Result<u64, DbError> {
        Purge::new(self, table, observe).run(days, most).await
    }
}

/// The work on one table.
struct Purge<'a> {
    db: &'a Db,
    table: Table,
    /// Rows that may go.
    most: u64,
    /// Rows that are gone.
    gone: u64,
    /// Keys that are looked up at once.
    chunk: u64,
    /// Rows of the next transaction.
    size: usize,
    observe: Observer<'a>,
}

impl<'a> Purge<'a> {
    fn new(db: &'a Db, table: Table, observe: Observer<'a>) -> Self {
        Self { db, table, most: u64::MAX, gone: 0, chunk: CHUNK, size: LEAST, observe }
    }

    /// See [`Db::purge`].
    async fn run(mut self, days: i64, most: Option<u64>) -> Result<u64, DbError> {
        let Some(before) = clock::now().checked_sub(time::Duration::days(days)) else { return Ok(0) };
        let (table, deleted) = (self.table, Deleted::Before(before));
        let youngest = match most {
            None => None,
            Some(0) => return Ok(0),
            Some(most) => self.db.read(FindTime { table, deleted, rank: most - 1 }).await?,
        };
        self.most = most.unwrap_or(u64::MAX);
        match youngest {
            None => self.all(deleted).await?,
            Some(time) => {
                self.all(Deleted::Before(time)).await?;
                self.all(Deleted::UpTo(time)).await?;
            }
        }
        Ok(self.gone)
    }

    async fn all(&mut self, deleted: Deleted) -> Result<(), DbError> {
        let (table, mut after) = (self.table, None);
        loop {
            let limit = std::cmp::min(self.chunk, self.most.saturating_sub(self.gone));
            if limit == 0 {
                return Ok(());
            }
            let keys = self.db.read(FindKeys { table, deleted, after: after.take(), limit }).await?;
            self.remove(&keys).await?;
            if (keys.len() as u64) < limit {
                return Ok(());
            }
            after = keys.last().cloned();
        }
    }

    async fn remove(&mut self, mut keys: &[Value]) -> Result<(), DbError> {
        while !keys.is_empty() {
            let (piece, rest) = keys.split_at(keys.len().min(self.size));
            let start = Instant::now();
            self.gone += self.db.write(Remove { table: self.table, keys: piece.to_vec() }).await?;
            (self.observe)(self.gone);
            keys = rest;
            let taken = start.elapsed();
            self.size = next_size(self.size, taken);
            // As long as the work, where that was short, belongs to the requests.
            sleep(taken.min(PAUSE)).await;
        }
        Ok(())
    }
}

fn next_size(size: usize, taken: Duration) -> usize {
    match taken {
        fast if fast * 2 < AIM => (size * 2).min(MOST),
        slow if slow > AIM * 2 => (size / 2).max(LEAST),
        _ => size,
    }
}

#[cfg(test)]
mod tests;
