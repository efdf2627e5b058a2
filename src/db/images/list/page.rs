//! The order of a list, and where a page begins.
//!
//! Upstream (`_paginate_query` in `glance/db/sqlalchemy/api.py`) compares NULL as an empty text or 0 when it looks for the
//! begin of a page, but sorts it as the database does: rows come twice or never when NULL meets an empty text, or a number
//! on SQLite and PostgreSQL. Here both follow the database's order, which is the same wherever upstream's pages are right.

use std::mem::{Discriminant, discriminant};

use sea_query::{Cond, Expr, ExprTrait, Order, Query, SelectStatement, Value};

use super::filter::text_of;
use super::query::{Direction, ListQuery};
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::images::columns::{ID_LENGTH, column};
use crate::db::model::{Column, Kind, UNREADABLE_OWNER};
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::live;
use crate::db::unreadable;

/// What the last image of the page before has in a column of the order.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::db::images) struct Bound {
    column: Column,
    direction: Direction,
    at: At,
}

/// What is in a column of a marker.
#[derive(Clone, Debug, PartialEq)]
enum At {
    Null,
    Value(Value),
    /// What the image of this id has there, which cannot be read: the database itself is to look.
    Unreadable(String),
}

/// What of a bound shows in the text of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form(Discriminant<At>);

pub(super) fn order(select: &mut SelectStatement, sort: &[(Column, Direction)]) {
    for (column, direction) in sort {
        select.order_by(
            column.name(),
            match direction {
                Direction::Ascending => Order::Asc,
                Direction::Descending => Order::Desc,
            },
        );
    }
}

/// Finds the marker and checks that the viewer may see it (`_image_get`, `is_image_visible` in `glance/db/utils.py`).
pub(super) async fn marker(
    session: &mut Session,
    id: &str,
    list: &ListQuery,
    sort: &[(Column, Direction)],
) -> Result<Vec<Bound>, DbError> {
    let missing = || DbError::MarkerNotFound(id.to_owned());
    if id.len() > ID_LENGTH {
        return Err(missing());
    }
    let mut query = Query::select();
    query.columns(["owner", "visibility"]).columns(sort.iter().map(|(column, _)| column.name()));
    query.from("images").and_where(Expr::col("id").eq(id));
    // An image that was deleted while somebody paged still says where the next page begins, to whoever may see such images.
    if list.deleted != Some(true) && !list.viewer.is_admin {
        query.and_where(live("images"));
    }
    let found = session
        .row(&query, |row| {
            let mut columns = Columns::of(row);
            let owner = unreadable::or(id, columns.maybe_text(), || Some(UNREADABLE_OWNER.to_owned()));
            let visibility = unreadable::or(id, columns.text(), String::new);
            Ok((owner, visibility, bounds(&mut columns, id, sort)))
        })
        .await?;
    let (owner, visibility, bounds) = found.ok_or_else(missing)?;
    let open = list.viewer.is_admin
        || owner.is_none()
        || matches!(visibility.as_str(), "public" | "community")
        || owner == list.viewer.project;
    if open || (visibility == "shared" && is_member(session, id, list.viewer.project.as_deref()).await?) {
        return Ok(bounds);
    }
    Err(DbError::MarkerNotVisible(id.to_owned()))
}

async fn is_member(session: &mut Session, id: &str, project: Option<&str>) -> Result<bool, DbError> {
    let Some(project) = project else { return Ok(false) };
    let query = Query::select()
        .expr(Expr::cust("1"))
        .from("image_members")
        .and_where(Expr::col("image_id").eq(id))
        .and_where(Expr::col("member").eq(project))
        .and_where(live("image_members"))
        .limit(1)
        .take();
    Ok(session.row(&query, |_: &dyn Row| Ok(())).await?.is_some())
}

fn bounds(columns: &mut Columns<'_>, id: &str, sort: &[(Column, Direction)]) -> Vec<Bound> {
    let bound = |&(column, direction): &(Column, Direction)| {
        let value = match column.kind() {
            Kind::Text => columns.maybe_text().map(|value| value.map(Value::from)),
            Kind::Integer => columns.maybe_integer().map(|value| value.map(Value::from)),
            Kind::Flag => columns.maybe_flag().map(|value| value.map(Value::from)),
            Kind::Time => columns.maybe_time().map(|value| value.map(Value::from)),
        };
        let at = value.map(|value| value.map_or(At::Null, At::Value));
        Bound { column, direction, at: unreadable::or(id, at, || At::Unreadable(id.to_owned())) }
    };
    sort.iter().map(bound).collect()
}

/// Holds for what comes after the marker: (a > A) or (a = A and b > B) or …
pub(super) fn after(dialect: Dialect, marker: &[Bound]) -> Cond {
    let mut any = Cond::any();
    for (index, bound) in marker.iter().enumerate() {
        let Some(beyond) = bound.beyond(dialect) else { continue };
        let ties = marker.iter().take(index).fold(Cond::all(), |all, bound| all.add(bound.tie()));
        any = any.add(ties.add(beyond));
    }
    let Some(first) = marker.first() else { return any };
    // Says nothing new, but lets an index on the first column start at the right place.
    match first.value() {
        Some(value) if !first.column.is_nullable() => {
            let range = match first.direction {
                Direction::Ascending => column(first.column).gte(value),
                Direction::Descending => column(first.column).lte(value),
            };
            Cond::all().add(range).add(any)
        }
        _ => any,
    }
}

impl Bound {
    /// The same bound with a parameter for its value, and the value.
    pub(super) fn split(&self, put: &mut impl FnMut(Value) -> String) -> Self {
        let at = match &self.at {
            At::Null => At::Null,
            At::Value(value) => At::Value(Value::from(put(value.clone()))),
            At::Unreadable(id) => At::Unreadable(put(Value::from(id.as_str()))),
        };
        Self { at, ..*self }
    }

    pub(super) fn form(&self) -> Form {
        Form(discriminant(&self.at))
    }

    /// After the marker in this column alone; `None` if nothing can be. NULL is the smallest to SQLite and MySQL, the
    /// largest to PostgreSQL.
    fn beyond(&self, dialect: Dialect) -> Option<Cond> {
        let null_comes_last = (dialect == Dialect::Postgres) == (self.direction == Direction::Ascending);
        let own = || column(self.column);
        match self.value() {
            None if null_comes_last => None,
            None => Some(Cond::all().add(own().is_not_null())),
            Some(value) => {
                let further = match self.direction {
                    Direction::Ascending => own().gt(value),
                    Direction::Descending => own().lt(value),
                };
                let null = (null_comes_last && self.column.is_nullable()).then(|| own().is_null());
                Some(Cond::any().add(further).add_option(null))
            }
        }
    }

    fn tie(&self) -> Expr {
        match self.value() {
            None => column(self.column).is_null(),
            Some(value) => column(self.column).eq(value),
        }
    }

    /// What to compare the column with; `None` is NULL.
    fn value(&self) -> Option<Expr> {
        match &self.at {
            At::Null => None,
            At::Value(Value::String(Some(text))) => Some(text_of(self.column, text)),
            At::Value(value) => Some(Expr::val(value.clone())),
            At::Unreadable(id) => {
                let mut marker = Query::select();
                marker.column((MARKER, self.column.name())).from_as("images", MARKER);
                Some(Expr::from(marker.and_where(Expr::col((MARKER, "id")).eq(id.as_str())).take()))
            }
        }
    }
}

/// The name of the marker's row where the database looks at it.
const MARKER: &str = "marker";
