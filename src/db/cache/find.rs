//! What is in the cache of a node, and which nodes have an image.

use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::has_url;
use super::model::{COLUMNS, CachedImageRecord, TABLE};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::unreadable::TableRow;

/// Images of one node, and nodes of one image, that are shown. A directory with more files than that is no cache.
const MOST: u64 = 100_000;

/// An image in the cache of a node (`get_hit_count`, `is_image_cached_for_node` in `glance/db/sqlalchemy/api.py`).
///
/// # Errors
/// Those of the database.
pub async fn get(db: &Db, node: &str, image: &str) -> Result<Option<CachedImageRecord>, DbError> {
    let mut select = of_node(node);
    select.and_where(Expr::col(("cached_images", "image_id")).eq(image));
    let found = db.read(Find { select }).await?;
    // MySQL's collation takes `A` for `a`.
    Ok(found.into_iter().find(|cached| cached.image_id == image))
}

/// All images in the cache of a node, in the order in which they came (`get_cached_images`).
///
/// # Errors
/// Those of the database.
pub async fn list(db: &Db, node: &str) -> Result<Vec<CachedImageRecord>, DbError> {
    let mut select = of_node(node);
    select.order_by(("cached_images", "id"), Order::Asc).limit(MOST);
    db.read(Find { select }).await
}

/// The ids of the images of a node's cache that were not read for the longest time, longest first, at most so many
/// (`get_least_recently_accessed`, which gives one).
///
/// # Errors
/// Those of the database.
pub async fn least_recently_accessed(db: &Db, node: &str, limit: u64) -> Result<Vec<String>, DbError> {
    let mut select = joined();
    select
        .column(("cached_images", "image_id"))
        .and_where(has_url(node))
        .order_by(("cached_images", "last_accessed"), Order::Asc)
        .order_by(("cached_images", "id"), Order::Asc)
        .limit(limit);
    db.read(Texts { select }).await
}

/// The URLs of the nodes that have an image in their cache, in the order in which they were registered (`get_cached_nodes`).
///
/// # Errors
/// Those of the database.
pub async fn nodes(db: &Db, image: &str) -> Result<Vec<String>, DbError> {
    let select = joined()
        .column(("node_reference", "node_reference_url"))
        .and_where(Expr::col(("cached_images", "image_id")).eq(image))
        .order_by(("node_reference", "node_reference_id"), Order::Asc)
        .limit(MOST)
        .take();
    db.read(Texts { select }).await
}

fn of_node(node: &str) -> SelectStatement {
    joined().columns(COLUMNS.map(|name| ("cached_images", name))).and_where(has_url(node)).take()
}

fn joined() -> SelectStatement {
    let (own, foreign) = (("node_reference", "node_reference_id"), ("cached_images", "node_reference_id"));
    Query::select().from("cached_images").inner_join("node_reference", Expr::col(own).equals(foreign)).take()
}

struct Find {
    select: SelectStatement,
}

impl UnitOfWork for Find {
    type Output = Vec<CachedImageRecord>;
    const NAME: &'static str = "find cached images";

    async fn run(&self, session: &mut Session) -> Result<Vec<CachedImageRecord>, DbError> {
        let found = session.rows(&self.select, |row| CachedImageRecord::read(&mut Columns::of(row))).await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// The first column of the rows, where it can be read.
struct Texts {
    select: SelectStatement,
}

impl UnitOfWork for Texts {
    type Output = Vec<String>;
    const NAME: &'static str = "find the names of cached images or of their nodes";

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, DbError> {
        let read = |row: &dyn Row| Ok(TableRow::new(TABLE, &"?").or(Columns::of(row).text().map(Some), || None));
        Ok(session.rows(&self.select, read).await?.into_iter().flatten().collect())
    }
}
