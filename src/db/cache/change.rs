//! What comes into the cache of a node, is read from it, and leaves it.

use std::collections::HashSet;

use sea_query::{DeleteStatement, Expr, ExprTrait, InsertStatement, Query, SelectStatement};
use time::PrimitiveDateTime;

use super::model::NewCachedImage;
use super::node_id;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::retry::UnitOfWork;
use crate::db::row::Columns;
use crate::db::session::Session;

/// Images of one statement.
const ROWS: usize = 500;

/// Writes down that there is a node of this URL; one that is known stays as it is (`node_reference_create` in
/// `glance/db/sqlalchemy/api.py`, whose callers ignore that it is known).
///
/// # Errors
/// Those of the database.
pub async fn register_node(db: &Db, node: &str) -> Result<(), DbError> {
    db.write(RegisterNode { node: node.to_owned() }).await
}

struct RegisterNode {
    node: String,
}

impl UnitOfWork for RegisterNode {
    type Output = ();
    const NAME: &'static str = "register a node";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        if find_id(session, &node_id(&self.node)).await?.is_some() {
            return Ok(());
        }
        let mut insert = Query::insert();
        insert.into_table("node_reference").columns(["node_reference_url"]).values_panic([self.node.as_str().into()]);
        session.execute(&insert).await.map(drop).map_err(DbError::again_if_duplicate)
    }
}

/// Adds an image to the cache of a node, unless it is there: then its row stays as it is, and the answer is `false`
/// (`insert_cache_details`).
///
/// # Errors
/// [`DbError::NotFound`] of a node that is not registered.
pub async fn add(db: &Db, node: &str, image: NewCachedImage) -> Result<bool, DbError> {
    Ok(db.write(Add { node: node.to_owned(), images: vec![image] }).await? > 0)
}

/// Adds those of these images that are not in the cache of a node yet.
///
/// # Errors
/// [`DbError::NotFound`] of a node that is not registered.
pub async fn add_unknown(db: &Db, node: &str, images: Vec<NewCachedImage>) -> Result<(), DbError> {
    db.write(Add { node: node.to_owned(), images }).await.map(drop)
}

/// Adds those that are new, and gives their number.
struct Add {
    node: String,
    images: Vec<NewCachedImage>,
}

impl UnitOfWork for Add {
    type Output = usize;
    const NAME: &'static str = "add cached images";

    async fn run(&self, session: &mut Session) -> Result<usize, DbError> {
        let (node, mut added) = (find_node(session, &self.node).await?, 0);
        for images in self.images.chunks(ROWS) {
            let mut known = Query::select();
            known.column("image_id").from("cached_images").and_where(Expr::col("node_reference_id").eq(node));
            known.and_where(Expr::col("image_id").is_in(images.iter().map(|image| image.image_id.as_str())));
            let known: HashSet<String> =
                session.rows(&known, |row| Columns::of(row).text()).await?.into_iter().collect();
            let new: Vec<_> = images.iter().filter(|image| !known.contains(&image.image_id)).collect();
            if !new.is_empty() {
                added += new.len();
                let insert = insertion(node, new.into_iter());
                session.execute(&insert).await.map_err(DbError::again_if_duplicate)?;
            }
        }
        Ok(added)
    }
}

fn insertion<'a>(node: i64, images: impl Iterator<Item = &'a NewCachedImage>) -> InsertStatement {
    let mut insert = Query::insert();
    insert.into_table("cached_images").columns([
        "image_id",
        "last_accessed",
        "last_modified",
        "size",
        "hits",
        "checksum",
        "node_reference_id",
    ]);
    for image in images {
        insert.values_panic([
            image.image_id.as_str().into(),
            clock::to_micros(image.last_accessed).into(),
            clock::to_micros(image.last_modified).into(),
            image.size.into(),
            image.hits.into(),
            image.checksum.clone().into(),
            node.into(),
        ]);
    }
    insert
}

async fn find_node(session: &mut Session, node: &str) -> Result<i64, DbError> {
    let found = find_id(session, &node_id(node)).await?;
    found.ok_or_else(|| DbError::NotFound { what: "node", key: node.to_owned() })
}

async fn find_id(session: &mut Session, query: &SelectStatement) -> Result<Option<i64>, DbError> {
    session.row(query, |row| Columns::of(row).integer()).await
}

/// Counts that an image was read from the cache of a node so many times, the last time at `last_accessed` (`update_hit_count`, which
/// counts one, now). Gives whether the image is there.
///
/// # Errors
/// Those of the database.
pub async fn count_hits(
    db: &Db,
    node: &str,
    image: &str,
    hits: u32,
    last_accessed: PrimitiveDateTime,
) -> Result<bool, DbError> {
    db.write(CountHits { node: node.to_owned(), image: image.to_owned(), hits, last_accessed }).await
}

struct CountHits {
    node: String,
    image: String,
    hits: u32,
    last_accessed: PrimitiveDateTime,
}

impl UnitOfWork for CountHits {
    type Output = bool;
    const NAME: &'static str = "count the hits of a cached image";

    async fn run(&self, session: &mut Session) -> Result<bool, DbError> {
        let update = Query::update()
            .table("cached_images")
            .value("hits", Expr::col("hits").add(self.hits))
            .value("last_accessed", clock::to_micros(self.last_accessed))
            .and_where(Expr::col("image_id").eq(self.image.as_str()))
            .and_where(is_of(&self.node))
            .take();
        Ok(session.execute(&update).await? > 0)
    }
}

/// Removes images from what is known of a node's cache, and gives how many were there (`delete_cached_image`, which removes one).
///
/// # Errors
/// Those of the database.
pub async fn remove(db: &Db, node: &str, images: &[String]) -> Result<u64, DbError> {
    let of = |images: &[String]| {
        let mut delete = all_of(node);
        delete.and_where(Expr::col("image_id").is_in(images.iter().map(String::as_str)));
        delete
    };
    db.write(Remove { deletes: images.chunks(ROWS).map(of).collect() }).await
}

/// Removes all that is known of a node's cache, and gives the number of images (`delete_all_cached_images`).
///
/// # Errors
/// Those of the database.
pub async fn remove_all(db: &Db, node: &str) -> Result<u64, DbError> {
    db.write(Remove { deletes: vec![all_of(node)] }).await
}

fn all_of(node: &str) -> DeleteStatement {
    Query::delete().from_table("cached_images").and_where(is_of(node)).take()
}

/// Compared with one value, not with a list: some releases of MySQL run the query of a list once for each row.
fn is_of(node: &str) -> Expr {
    Expr::col("node_reference_id").eq(node_id(node))
}

struct Remove {
    deletes: Vec<DeleteStatement>,
}

impl UnitOfWork for Remove {
    type Output = u64;
    const NAME: &'static str = "remove cached images";

    async fn run(&self, session: &mut Session) -> Result<u64, DbError> {
        let mut removed = 0;
        for delete in &self.deletes {
            removed += session.execute(delete).await?;
        }
        Ok(removed)
    }
}
