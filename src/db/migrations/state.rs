//! What there is in a database: tables, and the state that alembic has noted.

use sea_query::{Expr, ExprTrait, Order, Query};

use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::retry::UnitOfWork;
use crate::db::row::Columns;
use crate::db::session::Session;

/// How many tables there are, of any name or of one.
pub(crate) struct CountTables {
    pub(crate) named: Option<&'static str>,
}

impl UnitOfWork for CountTables {
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

/// The names in alembic's table; none if there is no such table.
pub(crate) struct Revisions;

impl UnitOfWork for Revisions {
    type Output = Vec<String>;
    const NAME: &'static str = "read revisions";

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, DbError> {
        if (CountTables { named: Some("alembic_version") }).run(session).await? == 0 {
            return Ok(Vec::new());
        }
        // There are as many rows as unmerged branches, which is at most two; more than a few is not alembic's.
        let query = Query::select()
            .column("version_num")
            .from("alembic_version")
            .order_by("version_num", Order::Asc)
            .limit(8)
            .take();
        session.rows(&query, |row| Columns::of(row).text()).await
    }
}
