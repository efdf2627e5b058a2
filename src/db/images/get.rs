//! One image by its id.

use std::collections::HashMap;

use sea_query::{Expr, ExprTrait, Query, SelectStatement, UnionType};

use super::columns::{ID_LENGTH, names};
use super::together;
use crate::db::children::{self, Child};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::{Column, ImageRecord};
use crate::db::of_ids::{OfIds, Way};
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::live;
use crate::db::statement::{Template, parameter};
use crate::db::unreadable;

/// The image with this id; `None` if there is none, or if it is deleted and `deleted` is not asked for. MySQL's collation takes
/// `A` for `a` and ignores blanks at the end: go on with the id that was found. Visibility is not looked at (`_image_get` in
/// `glance/db/sqlalchemy/api.py` does that too).
pub async fn get(db: &Db, id: &str, deleted: bool) -> Result<Option<ImageRecord>, DbError> {
    if deleted { db.read(Get { id: id.to_owned(), deleted }).await } else { together::get(db, id).await }
}

/// As [`get`] of an image that is not deleted, in a query of its own.
pub(super) async fn alone(db: &Db, id: &str) -> Result<Option<ImageRecord>, DbError> {
    db.read(Get { id: id.to_owned(), deleted: false }).await
}

/// The status of a project's membership of an image, empty if it cannot be read; `None` if it is no member.
pub async fn member_status(db: &Db, id: &str, project: &str) -> Result<Option<String>, DbError> {
    db.read(MemberStatus { id: id.to_owned(), project: project.to_owned() }).await
}

struct Get {
    id: String,
    deleted: bool,
}

impl UnitOfWork for Get {
    type Output = Option<ImageRecord>;
    const NAME: &'static str = "get image";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        read(session, &self.id, self.deleted).await
    }
}

static LIVE: Template = Template::new(|_| select(false, Way::Choice, &|column| Expr::col(column).eq(parameter(0))));
static EVERY: Template = Template::new(|_| select(true, Way::Choice, &|column| Expr::col(column).eq(parameter(0))));
static LIVE_OF: OfIds = OfIds::new(|_, way, is_among| select(false, way, is_among));

/// A row of the query is the image or one of its children.
enum Part {
    Image(Box<ImageRecord>),
    Child(Child),
}

/// As [`get`], in a session that is there already. One query for everything, so that all of it is of one moment.
pub(in crate::db) async fn read(
    session: &mut Session,
    id: &str,
    deleted: bool,
) -> Result<Option<ImageRecord>, DbError> {
    if id.len() > ID_LENGTH {
        return Ok(None);
    }
    let template = if deleted { &EVERY } else { &LIVE };
    let query = template.with(session.dialect(), vec![id.into()]);
    let parts = session.rows(&query, part).await?;
    let mut image = None;
    let mut children = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Image(found) => image = Some(*found),
            Part::Child(child) => children.push(child),
        }
    }
    let Some(mut image) = image else { return Ok(None) };
    children::attach(session, &mut image, children);
    Ok(Some(image))
}

/// Those of these images that are there, each as by [`read`], by the ids that the database has for them.
pub(super) async fn read_each(session: &mut Session, ids: &[String]) -> Result<HashMap<String, ImageRecord>, DbError> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let parts = LIVE_OF.rows(session, &ids, part).await?;
    let mut images = HashMap::new();
    let mut children = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Image(image) => drop(images.insert(image.id.clone(), *image)),
            Part::Child(child) => children.push(child),
        }
    }
    for (id, children) in children::by_image(children) {
        let known = if images.contains_key(&id) { Some(id) } else { known_as(session, &images, &id) };
        if let Some(image) = known.and_then(|id| images.get_mut(&id)) {
            children::attach(session, image, children);
        }
    }
    Ok(images)
}

/// The id, written otherwise, of the image that the database takes for the one with this id.
pub(super) fn known_as(session: &Session, images: &HashMap<String, ImageRecord>, id: &str) -> Option<String> {
    let is_same = |other: &&String| other.trim_end().eq_ignore_ascii_case(id.trim_end());
    if session.takes_for_equal() { images.keys().find(is_same).cloned() } else { None }
}

fn part(row: &dyn Row) -> Result<Part, DbError> {
    let mut columns = Columns::of(row);
    Ok(match columns.integer()? {
        0 => Part::Image(Box::new(ImageRecord::read(columns.skip(children::COLUMNS - 1)))),
        kind => Part::Child(Child::read(kind, &mut columns)?),
    })
}

pub(super) fn select(deleted: bool, way: Way, is_among: &dyn Fn(&'static str) -> Expr) -> SelectStatement {
    let mut query = Query::select();
    query.exprs([Expr::cust("0"), Expr::cust("0")]).exprs((2..children::COLUMNS).map(|_| Expr::cust("NULL")));
    query.columns(names()).from("images").and_where(is_among("id"));
    if !deleted {
        query.and_where(live("images"));
    }
    // The columns of a child come first, then those of an image; the others are NULL.
    let children = children::selects(|| is_among("image_id"), way, Column::ALL.len());
    query.unions(children.map(|select| (UnionType::All, select)));
    query
}

struct MemberStatus {
    id: String,
    project: String,
}

impl UnitOfWork for MemberStatus {
    type Output = Option<String>;
    const NAME: &'static str = "get member status";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query = Query::select()
            .column("status")
            .from("image_members")
            .and_where(Expr::col("image_id").eq(self.id.as_str()))
            .and_where(Expr::col("member").eq(self.project.as_str()))
            .and_where(live("image_members"))
            .limit(1)
            .take();
        let status = |row: &dyn Row| Ok(unreadable::or(&self.id, Columns::of(row).text(), String::new));
        session.row(&query, status).await
    }
}
