//! Upstream's tables: making them, and telling whether they are there.

mod indexes;

use std::time::Duration;

use sea_query::{Expr, ExprTrait, Query, SelectStatement};
use tokio::time::sleep;

use super::connection::Db;
use super::dialect::Dialect;
use super::error::DbError;
pub(crate) use super::error::SchemaError;
use super::retry::Operation;
use super::row::Columns;
use super::session::Session;

/// Alembic's name for the newest state of the tables (`glance/db/sqlalchemy/alembic_migrations/versions`).
pub(crate) const HEAD: &str = "2024_1_contract01";

const SQLITE: &str = include_str!("sqlite.sql");
const POSTGRES: &str = include_str!("postgresql.sql");
const MYSQL: &str = include_str!("mysql.sql");

impl Db {
    /// Makes all tables if there are none, in one transaction where the database can; what is there is left alone.
    ///
    /// A file of SQLite that is ours to fill also becomes a write-ahead-log database, which is a property of the file
    /// and lets readers and the writer pass each other. The mode of a file that was made elsewhere is left as it is.
    pub async fn create_schema(&self) -> Result<(), DbError> {
        if tables(self).await? > 0 {
            return Ok(());
        }
        if self.dialect() == Dialect::Sqlite {
            use_write_ahead_log(self).await?;
        }
        self.write(CreateTables).await
    }

    /// Alembic's names for the state of the tables; none if it knows of no such state.
    pub(crate) async fn revisions(&self) -> Result<Vec<String>, DbError> {
        self.snapshot(Revisions).await
    }

    /// Whether the tables are there, in the state that this program works with.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        if tables(self).await? == 0 {
            return Err(SchemaError::Empty.into());
        }
        let found = self.revisions().await?;
        match found.as_slice() {
            [] => Err(SchemaError::NoRevision.into()),
            [one] if one == HEAD => Ok(()),
            _ => Err(SchemaError::Revision { found, expected: HEAD }.into()),
        }
    }
}

async fn tables(db: &Db) -> Result<i64, DbError> {
    db.read(CountTables { named: None }).await
}

/// The switch needs the file for itself and does not wait for it, so another worker that starts at this moment is in
/// the way for a few milliseconds.
async fn use_write_ahead_log(db: &Db) -> Result<(), DbError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut session = db.writer().await?;
        match session.plain("PRAGMA journal_mode = WAL").await {
            Err(DbError::Contention { .. }) if attempt < 100 => {
                drop(session);
                sleep(Duration::from_millis(20)).await;
            }
            done => return done,
        }
    }
}

struct CreateTables;

impl Operation for CreateTables {
    type Output = ();
    const NAME: &'static str = "create tables";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        // Under the write lock: another worker may have been faster.
        if (CountTables { named: None }).run(session).await? > 0 {
            return Ok(());
        }
        let sql = match session.dialect() {
            Dialect::Sqlite => SQLITE,
            Dialect::Postgres => POSTGRES,
            Dialect::MySql => MYSQL,
        };
        session.plain(sql).await
    }
}

/// How many tables there are, of any name or of one.
struct CountTables {
    named: Option<&'static str>,
}

impl Operation for CountTables {
    type Output = i64;
    const NAME: &'static str = "count tables";

    async fn run(&self, session: &mut Session) -> Result<i64, DbError> {
        let mut query = Query::select();
        query.expr(Expr::cust("COUNT(*)"));
        let name = match session.dialect() {
            Dialect::Sqlite => {
                // Names with this start are SQLite's own.
                query.from("sqlite_master").and_where(Expr::col("type").eq("table"));
                query.and_where(Expr::col("name").not_like("sqlite%"));
                Expr::col("name")
            }
            Dialect::Postgres => {
                query.from(("information_schema", "tables"));
                query.and_where(Expr::cust("table_schema = current_schema()"));
                Expr::cust("CAST(table_name AS text)")
            }
            Dialect::MySql => {
                query.from(("information_schema", "tables"));
                query.and_where(Expr::cust("table_schema = DATABASE()"));
                Expr::col("table_name")
            }
        };
        if let Some(named) = self.named {
            query.and_where(name.eq(named));
        }
        let count = session.row(&query, |row| Columns::of(row).integer()).await?;
        Ok(count.unwrap_or(0))
    }
}

struct Revisions;

impl Operation for Revisions {
    type Output = Vec<String>;
    const NAME: &'static str = "read revisions";

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, DbError> {
        if (CountTables { named: Some("alembic_version") }).run(session).await? == 0 {
            return Ok(Vec::new());
        }
        session.rows(&revisions(), |row| Columns::of(row).text()).await
    }
}

fn revisions() -> SelectStatement {
    // There are as many rows as unmerged branches, which is at most two; more than a few is not alembic's.
    Query::select()
        .column("version_num")
        .from("alembic_version")
        .order_by("version_num", sea_query::Order::Asc)
        .limit(8)
        .take()
}

#[cfg(test)]
mod tests;
