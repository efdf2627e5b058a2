//! What the images of an owner take up (`_image_get_disk_usage_by_owner` and its neighbours in
//! `glance/db/sqlalchemy/api.py`).

use sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement};

use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::retry::Operation;
use crate::db::row::Columns;
use crate::db::session::Session;

const GONE: [&str; 3] = ["killed", "deleted", "pending_delete"];
/// Set while an import copies the image to further stores.
const COPYING: &str = "os_glance_importing_to_stores";

/// Bytes in stores: the size of each image times its locations that are not deleted. `but` is an image that is left
/// out of the sum.
pub async fn storage_used(db: &Db, owner: Option<&str>, but: Option<&str>) -> Result<i64, DbError> {
    let kind = Kind::Stored { but: but.map(str::to_owned) };
    db.read(Usage { owner: owner.map(str::to_owned), kind }).await
}

/// Bytes that are being staged: the sizes of images that are uploading, importing or being copied.
pub async fn staging_used(db: &Db, owner: &str) -> Result<i64, DbError> {
    db.read(Usage { owner: Some(owner.to_owned()), kind: Kind::Staged }).await
}

/// Images that are neither deleted nor to be deleted.
pub async fn count(db: &Db, owner: &str) -> Result<i64, DbError> {
    db.read(Usage { owner: Some(owner.to_owned()), kind: Kind::Images }).await
}

/// Images that are saving, uploading, importing or being copied.
pub async fn uploading_count(db: &Db, owner: &str) -> Result<i64, DbError> {
    db.read(Usage { owner: Some(owner.to_owned()), kind: Kind::Uploading }).await
}

struct Usage {
    /// `None`: of images that belong to nobody.
    owner: Option<String>,
    kind: Kind,
}

enum Kind {
    Stored { but: Option<String> },
    Staged,
    Images,
    Uploading,
}

impl Operation for Usage {
    type Output = i64;
    const NAME: &'static str = "sum up usage";

    async fn run(&self, session: &mut Session) -> Result<i64, DbError> {
        let mut query = Query::select();
        query.from("images").and_where(
            self.owner.as_deref().map_or_else(|| column("owner").is_null(), |owner| column("owner").eq(owner)),
        );
        match &self.kind {
            Kind::Stored { but } => {
                query.expr(sum_of_sizes(session.dialect()));
                query.inner_join("image_locations", column("id").eq(Expr::col(("image_locations", "image_id"))));
                query.and_where(Expr::col(("image_locations", "status")).ne("deleted"));
                query.and_where(column("size").gt(0)).and_where(column("status").is_not_in(GONE));
                query.and_where_option(but.as_deref().map(|id| column("id").ne(id)));
            }
            Kind::Staged => {
                query.expr(sum_of_sizes(session.dialect())).and_where(column("size").gt(0));
                query.and_where(busy(&["uploading", "importing"]));
            }
            Kind::Images => {
                query.expr(Expr::cust("COUNT(*)")).and_where(column("status").is_not_in(GONE));
            }
            Kind::Uploading => {
                query.expr(Expr::cust("COUNT(*)")).and_where(busy(&["saving", "uploading", "importing"]));
            }
        }
        Ok(session.row(&query, |row| Columns::of(row).maybe_integer()).await?.flatten().unwrap_or(0))
    }
}

fn column(name: &'static str) -> Expr {
    Expr::col(("images", name))
}

/// A sum of 64-bit integers is a decimal on the servers.
fn sum_of_sizes(dialect: Dialect) -> Expr {
    let kind = match dialect {
        Dialect::Sqlite => "INTEGER",
        Dialect::Postgres => "BIGINT",
        Dialect::MySql => "SIGNED",
    };
    column("size").sum().cast_as(Alias::new(kind))
}

/// In one of the states, or not gone and being copied.
fn busy(states: &[&'static str]) -> Expr {
    let copying = column("status").is_not_in(GONE).and(column("id").in_subquery(copied()));
    column("status").is_in(states.iter().copied()).or(copying)
}

/// A property row that is deleted counts too, as upstream's query has it; its value is empty when the copy is over.
fn copied() -> SelectStatement {
    Query::select()
        .column("image_id")
        .from("image_properties")
        .and_where(Expr::col("name").eq(COPYING))
        .and_where(Expr::col("value").ne(""))
        .take()
}
