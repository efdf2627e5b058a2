//! Tags of images.

use std::collections::HashSet;

use sea_query::{Expr, ExprTrait, Order, Query};
use time::PrimitiveDateTime;

use super::children::{insert_tags, lock_image};
use super::clock;
use super::connection::Db;
use super::error::DbError;
use super::retry::UnitOfWork;
use super::row::{Columns, Row};
use super::session::Session;
use super::sql::{live, soft_delete};
use super::unreadable;

/// Gives the image a tag; one that it has stays as it is.
///
/// # Errors
/// [`DbError::NotFound`] if the image is not there.
pub async fn create(db: &Db, image: &str, tag: &str) -> Result<(), DbError> {
    db.write(Create { image: image.to_owned(), tag: tag.to_owned() }).await
}

/// Takes a tag from the image.
///
/// # Errors
/// [`DbError::NotFound`] if it does not have it.
pub async fn delete(db: &Db, image: &str, tag: &str) -> Result<(), DbError> {
    db.write(Delete { image: image.to_owned(), tag: tag.to_owned() }).await
}

/// The tags of the image, oldest first.
pub async fn list(db: &Db, image: &str) -> Result<Vec<String>, DbError> {
    db.read(List { image: image.to_owned() }).await
}

/// Makes `wanted` the tags of the image (`image_tag_set_all` in `glance/db/sqlalchemy/api.py`). The caller holds the
/// lock of the image's row.
pub(super) async fn set_all(
    session: &mut Session,
    image: &str,
    now: PrimitiveDateTime,
    wanted: &[String],
) -> Result<(), DbError> {
    let present = read(session, image).await?;
    let mut known: HashSet<&str> = present.iter().map(String::as_str).collect();
    let fresh: Vec<&str> = wanted.iter().map(String::as_str).filter(|tag| known.insert(*tag)).collect();
    insert_tags(session, image, now, &fresh).await?;
    let wanted: HashSet<&str> = wanted.iter().map(String::as_str).collect();
    for tag in present.iter().filter(|tag| !wanted.contains(tag.as_str())) {
        remove(session, image, now, tag).await?;
    }
    Ok(())
}

async fn remove(session: &mut Session, image: &str, now: PrimitiveDateTime, tag: &str) -> Result<u64, DbError> {
    let update = soft_delete("image_tags", now)
        .and_where(Expr::col("image_id").eq(image))
        .and_where(Expr::col("value").eq(tag))
        .and_where(live("image_tags"))
        .take();
    session.execute(&update).await
}

struct Create {
    image: String,
    tag: String,
}

impl UnitOfWork for Create {
    type Output = ();
    const NAME: &'static str = "create tag";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        lock_image(session, &self.image).await?;
        if read(session, &self.image).await?.contains(&self.tag) {
            return Ok(());
        }
        insert_tags(session, &self.image, clock::now(), &[&self.tag]).await
    }
}

struct Delete {
    image: String,
    tag: String,
}

impl UnitOfWork for Delete {
    type Output = ();
    const NAME: &'static str = "delete tag";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        match remove(session, &self.image, clock::now(), &self.tag).await? {
            0 => Err(DbError::NotFound { what: "tag", key: self.tag.clone() }),
            _ => Ok(()),
        }
    }
}

struct List {
    image: String,
}

impl UnitOfWork for List {
    type Output = Vec<String>;
    const NAME: &'static str = "list tags";

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, DbError> {
        read(session, &self.image).await
    }
}

async fn read(session: &mut Session, image: &str) -> Result<Vec<String>, DbError> {
    let query = Query::select()
        .column("value")
        .from("image_tags")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(live("image_tags"))
        .order_by("id", Order::Asc)
        .take();
    let tag = |row: &dyn Row| {
        let tag = Columns::of(row).text().map_err(|error| error.in_column("image_tags.value"));
        Ok(unreadable::or(image, tag, String::new))
    };
    session.rows(&query, tag).await
}
