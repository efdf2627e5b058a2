//! One image by its id.

use sea_query::{Expr, ExprTrait, Query, SelectStatement, UnionType};

use super::children::{self, Child};
use super::{COLUMNS, ID_LENGTH, record};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::ImageRecord;
use crate::db::retry::Operation;
use crate::db::row::Columns;
use crate::db::session::Session;
use crate::db::sql::live;
use crate::db::statement::Template;

/// The image with this id; `None` if there is none, or if it is deleted and `deleted` is not asked for. MySQL's collation takes
/// `A` for `a` and ignores blanks at the end: go on with the id that was found. Visibility is not looked at (`_image_get` in
/// `glance/db/sqlalchemy/api.py` does that too).
pub async fn get(db: &Db, id: &str, deleted: bool) -> Result<Option<ImageRecord>, DbError> {
    db.read(&Get { id, deleted }).await
}

/// The status of a project's membership of an image; `None` if it is no member.
pub async fn member_status(db: &Db, id: &str, project: &str) -> Result<Option<String>, DbError> {
    db.read(&MemberStatus { id, project }).await
}

struct Get<'a> {
    id: &'a str,
    deleted: bool,
}

impl Operation for Get<'_> {
    type Output = Option<ImageRecord>;
    const NAME: &'static str = "get image";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        read(session, self.id, self.deleted).await
    }
}

static LIVE: Template = Template::new(|id| select(id, false));
static EVERY: Template = Template::new(|id| select(id, true));

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
    let query = if deleted { &EVERY } else { &LIVE };
    let parts = session
        .rows(&query.with(id), |row| {
            let mut columns = Columns::of(row);
            Ok(match columns.integer()? {
                0 => Part::Image(Box::new(record(columns.skip(children::COLUMNS - 1))?)),
                kind => Part::Child(Child::read(kind, &mut columns)?),
            })
        })
        .await?;
    let mut image = None;
    let mut children = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Image(found) => image = Some(*found),
            Part::Child(child) => children.push(child),
        }
    }
    let Some(mut image) = image else { return Ok(None) };
    children::attach(session, &mut image, children)?;
    Ok(Some(image))
}

pub(super) fn select(id: &str, deleted: bool) -> SelectStatement {
    let mut query = Query::select();
    query.exprs([Expr::cust("0"), Expr::cust("0")]).exprs((2..children::COLUMNS).map(|_| Expr::cust("NULL")));
    query.columns(COLUMNS).from("images").and_where(Expr::col("id").eq(id));
    if !deleted {
        query.and_where(live("images"));
    }
    // The columns of a child come first, then those of an image; the others are NULL.
    let children = children::selects(|| Expr::col("image_id").eq(id), COLUMNS.len());
    query.unions(children.map(|select| (UnionType::All, select)));
    query
}

struct MemberStatus<'a> {
    id: &'a str,
    project: &'a str,
}

impl Operation for MemberStatus<'_> {
    type Output = Option<String>;
    const NAME: &'static str = "get member status";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query = Query::select()
            .column("status")
            .from("image_members")
            .and_where(Expr::col("image_id").eq(self.id))
            .and_where(Expr::col("member").eq(self.project))
            .and_where(live("image_members"))
            .limit(1)
            .take();
        session.row(&query, |row| Columns::of(row).text()).await
    }
}
