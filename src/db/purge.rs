//! Rows that were marked as deleted long ago are removed for good (`purge_deleted_rows` of `glance/db/sqlalchemy/api.py`).
//!
//! Upstream does it in one statement for a table. Here it is many small transactions with pauses between them, so that requests
//! hardly notice. There is no index for what is to go, so a table is walked through once, in the order of its keys. Where only so
//! many rows may go, the time at which the youngest of them was deleted is found first: the oldest are to go, as upstream has it.

use std::time::Duration;

use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement, Value};
use time::PrimitiveDateTime;
use tokio::time::{Instant, sleep};

use super::clock;
use super::connection::Db;
use super::error::DbError;
use super::images::{OWNER_PROPERTY, SIZE_PROPERTY};
use super::retry::Operation;
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

/// Properties by which workers find what is theirs.
const NOTES: [[&str; 2]; 2] = [OWNER_PROPERTY, SIZE_PROPERTY];

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

    fn has_text_keys(self) -> bool {
        matches!(self, Self::TaskInfo | Self::Tasks | Self::Images)
    }

    /// The table whose rows say when they were deleted.
    fn dated(self) -> &'static str {
        if self == Self::TaskInfo { "tasks" } else { self.name() }
    }

    /// The rows that were deleted before a time; what of them is wanted is left to add.
    fn rows(self, deleted: Deleted) -> SelectStatement {
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
            let in_use = Expr::col("name").is_in(NOTES.concat()).and(Expr::exists(image));
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

/// Looks for the time at which the row with this place among the oldest was deleted; the oldest has the place 0.
struct FindTime {
    table: Table,
    deleted: Deleted,
    place: u64,
}

impl Operation for FindTime {
    type Output = Option<PrimitiveDateTime>;
    const NAME: &'static str = "find the age of rows to purge";

    async fn run(&self, session: &mut Session) -> Result<Option<PrimitiveDateTime>, DbError> {
        let deleted_at = (self.table.dated(), "deleted_at");
        let mut query = self.table.rows(self.deleted);
        query.column(deleted_at).order_by(deleted_at, Order::Asc).limit(1).offset(self.place);
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

impl Operation for FindKeys {
    type Output = Vec<Value>;
    const NAME: &'static str = "find rows to purge";

    async fn run(&self, session: &mut Session) -> Result<Vec<Value>, DbError> {
        let key = (self.table.name(), self.table.key());
        let mut query = self.table.rows(self.deleted);
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

impl Operation for Remove {
    type Output = u64;
    const NAME: &'static str = "purge rows";

    async fn run(&self, session: &mut Session) -> Result<u64, DbError> {
        let mut delete = Query::delete();
        let keys = self.keys.iter().cloned().map(Expr::val);
        delete.from_table(self.table.name()).and_where(Expr::col(self.table.key()).is_in(keys));
        if self.table != Table::TaskInfo {
            // What came back meanwhile, a member that was added again for one, stays.
            delete.and_where(live(self.table.name()).not());
        }
        session.execute(&delete).await
    }
}

impl Db {
    /// Removes rows of a table that were marked as deleted more than `days` ago, `most` of them at most: the oldest. Returns how
    /// many.
    ///
    /// # Errors
    /// The first failure; rows that are gone by then stay so. [`DbError::is_reference`]: a row that stays refers to one.
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
            Some(most) => self.db.read(FindTime { table, deleted, place: most - 1 }).await?,
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
mod tests {
    use super::*;
    use crate::config::{DatabaseSection, Secret};

    #[test]
    fn pieces_take_about_the_same_time() {
        let mut size = LEAST;
        for _ in 0..10 {
            size = next_size(size, Duration::from_millis(1));
        }
        assert_eq!(size, MOST);
        assert_eq!(next_size(size, AIM), MOST);
        for _ in 0..10 {
            size = next_size(size, Duration::from_millis(500));
        }
        assert_eq!(size, LEAST);
    }

    #[tokio::test]
    async fn the_oldest_go_first_and_no_more_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("glance.db").display().to_string();
        let connection = Some(Secret::from(format!("sqlite:///{path}").as_str()));
        let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
        db.create_schema().await.unwrap();
        let sql = "INSERT INTO images (id, status, created_at, deleted_at, deleted, min_disk, min_ram) \
            WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 299) \
            SELECT 'id' || n, 'deleted', '2020-01-01', datetime('2020-01-01', '+' || ((300 - n) / 2) || ' minutes') || '.000000', 1, 0, 0 FROM n; \
            INSERT INTO images (id, status, created_at, deleted, min_disk, min_ram) VALUES ('alive', 'active', '2020-01-01', 0, 0, 0); \
            INSERT INTO image_tags (image_id, value, created_at, deleted) VALUES ('id0', 't', '2020-01-01', 0)";
        db.writer().await.unwrap().plain(sql).await.unwrap();
        let left = || async {
            let younger = "COUNT(*), COUNT(CASE WHEN CAST(SUBSTR(id, 3) AS INTEGER) < 199 THEN 1 END), MIN(id), \
                COUNT(CASE WHEN id > 'id200' AND LENGTH(id) = 5 THEN 1 END)";
            let query = Query::select().expr(Expr::cust(younger)).from("images").take();
            let read = |row: &dyn super::super::row::Row| {
                let mut columns = Columns::of(row);
                Ok((columns.integer()?, columns.integer()?, columns.text()?, columns.integer()?))
            };
            db.writer().await.unwrap().row(&query, read).await.unwrap().unwrap()
        };
        let told = std::sync::Mutex::new(Vec::new());
        let observe = |rows| told.lock().unwrap().push(rows);
        // So few at once that it goes on after the first.
        let purge = |days, most| Purge { chunk: 64, ..Purge::new(&db, Table::Images, &observe) }.run(days, most);
        // At each time two were deleted; of the last two, one may go.
        assert_eq!(purge(1, Some(100)).await.unwrap(), 100);
        assert_eq!(told.lock().unwrap().last(), Some(&100));
        assert!(told.lock().unwrap().len() > 1, "in pieces");
        // The last to be made were the first to be deleted.
        assert_eq!(left().await, (201, 200, "alive".to_owned(), 0));
        assert_eq!(purge(10_000, None).await.unwrap(), 0);
        // One of them has a tag.
        let error = purge(1, None).await.unwrap_err();
        assert!(error.is_reference(), "{error}");
        db.writer().await.unwrap().plain("DELETE FROM image_tags").await.unwrap();
        purge(1, None).await.unwrap();
        assert_eq!(left().await, (1, 1, "alive".to_owned(), 0));
        assert_eq!(db.purge(Table::Images, i64::MAX / 100_000_000, None, &observe).await.unwrap(), 0);
    }
}
