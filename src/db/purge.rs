//! Rows that were marked as deleted long ago are removed for good (`purge_deleted_rows` of `glance/db/sqlalchemy/api.py`).
//!
//! Upstream does it in one statement for a table. Here it is many small transactions with pauses between them, so that requests
//! hardly notice. Which rows are to go is found for many of them at once: there is no index for it.

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
/// Rows that are deleted by one transaction.
const LEAST: usize = 16;
const MOST: usize = 1024;
/// A transaction is to take about this long: whoever waits for it hardly notices.
const AIM: Duration = Duration::from_millis(20);

/// Properties by which workers find what is theirs.
const NOTES: [&str; 2] = [OWNER_PROPERTY, SIZE_PROPERTY];

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

    /// The keys of the oldest rows.
    fn oldest(self, before: PrimitiveDateTime, limit: u64) -> SelectStatement {
        let of = if self == Self::TaskInfo { "tasks" } else { self.name() };
        let mut query = Query::select();
        query.column((self.name(), self.key())).from(self.name());
        if self == Self::TaskInfo {
            query.inner_join("tasks", Expr::col(("tasks", "id")).equals(("task_info", "task_id")));
        }
        query.and_where(Expr::col((of, "deleted_at")).lt(before)).and_where(live(of).not());
        if self == Self::ImageProperties {
            // Marked as deleted so that nobody is shown them, these are in use as long as their image is there.
            let images = Query::select().column("id").from("images").and_where(live("images")).take();
            let in_use = Expr::col("name").is_in(NOTES).and(Expr::col("image_id").in_subquery(images));
            query.and_where(in_use.not());
        }
        query.order_by((of, "deleted_at"), Order::Asc).limit(limit).take()
    }
}

struct Oldest {
    table: Table,
    before: PrimitiveDateTime,
    limit: u64,
}

impl Operation for Oldest {
    type Output = Vec<Value>;
    const NAME: &'static str = "find rows to purge";

    async fn run(&self, session: &mut Session) -> Result<Vec<Value>, DbError> {
        let query = self.table.oldest(self.before, self.limit);
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
    /// Removes rows of a table that were marked as deleted more than `days` ago, the oldest first, `most` of them at most.
    /// Returns how many.
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
        let Some(before) = clock::now().checked_sub(time::Duration::days(days)) else { return Ok(0) };
        let (mut gone, mut size) = (0, LEAST * 4);
        loop {
            let limit = most.map_or(CHUNK, |most| std::cmp::min(CHUNK, most.saturating_sub(gone)));
            if limit == 0 {
                return Ok(gone);
            }
            let found = self.read(Oldest { table, before, limit }).await?;
            let mut keys = found.as_slice();
            while !keys.is_empty() {
                let (piece, rest) = keys.split_at(keys.len().min(size));
                let start = Instant::now();
                gone += self.write(Remove { table, keys: piece.to_vec() }).await?;
                observe(gone);
                keys = rest;
                let taken = start.elapsed();
                size = next_size(size, taken);
                // Half of the time belongs to the requests.
                sleep(taken.min(Duration::from_secs(1))).await;
            }
            if (found.len() as u64) < limit {
                return Ok(gone);
            }
        }
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
        let mut size = 64;
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
            SELECT 'id' || n, 'deleted', '2020-01-01', datetime('2020-01-01', '+' || (300 - n) || ' minutes'), 1, 0, 0 FROM n; \
            INSERT INTO images (id, status, created_at, deleted, min_disk, min_ram) VALUES ('alive', 'active', '2020-01-01', 0, 0, 0); \
            INSERT INTO image_tags (image_id, value, created_at, deleted) VALUES ('id0', 't', '2020-01-01', 0)";
        db.writer().await.unwrap().plain(sql).await.unwrap();
        let left = || async {
            let query = Query::select().expr(Expr::cust("COUNT(*), MIN(id)")).from("images").take();
            let read = |row: &dyn super::super::row::Row| {
                let mut columns = Columns::of(row);
                Ok((columns.integer()?, columns.text()?))
            };
            db.writer().await.unwrap().row(&query, read).await.unwrap().unwrap()
        };
        let told = std::sync::Mutex::new(Vec::new());
        let observe = |rows| told.lock().unwrap().push(rows);
        assert_eq!(db.purge(Table::Images, 1, Some(100), &observe).await.unwrap(), 100);
        assert_eq!(told.lock().unwrap().last(), Some(&100));
        assert!(told.lock().unwrap().len() > 1, "in pieces");
        // The last to be made were the first to be deleted.
        assert_eq!(left().await.0, 201);
        assert_eq!(db.purge(Table::Images, 10_000, None, &observe).await.unwrap(), 0);
        // One of them has a tag.
        let error = db.purge(Table::Images, 1, None, &observe).await.unwrap_err();
        assert!(error.is_reference(), "{error}");
        db.writer().await.unwrap().plain("DELETE FROM image_tags").await.unwrap();
        db.purge(Table::Images, 1, None, &observe).await.unwrap();
        assert_eq!(left().await, (1, "alive".to_owned()));
        assert_eq!(db.purge(Table::Images, i64::MAX / 100_000_000, None, &observe).await.unwrap(), 0);
    }
}
