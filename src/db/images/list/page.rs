//! The order of a list, and where a page begins.
//!
//! Upstream (`_paginate_query` in `glance/db/sqlalchemy/api.py`) compares NULL as an empty text or 0 when it looks for the
//! begin of a page, but sorts it as the database does: rows come twice or never when NULL meets an empty text, or a number
//! on SQLite and PostgreSQL. Here both follow the database's order, which is the same wherever upstream's pages are right.

use sea_query::{Cond, Expr, ExprTrait, Order, Query, SelectStatement, Value};

use super::filter::text_of;
use super::query::{Direction, ListQuery};
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::images::columns::{ID_LENGTH, column};
use crate::db::model::{Column, Kind};
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::live;

/// What the last image of the page before has in a column of the order.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::db::images) struct Bound {
    column: Column,
    direction: Direction,
    /// `None` is NULL.
    value: Option<Value>,
}

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
            Ok((columns.maybe_text()?, columns.text()?, bounds(&mut columns, sort)?))
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
        .column("status")
        .from("image_members")
        .and_where(Expr::col("image_id").eq(id))
        .and_where(Expr::col("member").eq(project))
        .and_where(live("image_members"))
        .limit(1)
        .take();
    let status = session.row(&query, |row: &dyn Row| Columns::of(row).text()).await?;
    Ok(status.is_some())
}

fn bounds(columns: &mut Columns<'_>, sort: &[(Column, Direction)]) -> Result<Vec<Bound>, DbError> {
    let mut bounds = Vec::with_capacity(sort.len());
    for &(column, direction) in sort {
        let value = match column.kind() {
            Kind::Text => columns.maybe_text()?.map(Value::from),
            Kind::Integer => columns.maybe_integer()?.map(Value::from),
            Kind::Flag => Some(Value::from(columns.flag()?)),
            Kind::Time => columns.maybe_time()?.map(Value::from),
        };
        bounds.push(Bound { column, direction, value });
    }
    Ok(bounds)
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
    match &first.value {
        Some(value) if !first.column.is_nullable() => {
            let value = first.value_expr(value);
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
    /// The same bound with a place for its value, and the value.
    pub(super) fn split(&self, put: &mut impl FnMut(Value) -> String) -> Self {
        Self { value: self.value.clone().map(|value| Value::from(put(value))), ..*self }
    }

    /// What of the bound shows in the text of a statement.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_none()
    }

    /// After the marker in this column alone; `None` if nothing can be. NULL is the smallest to SQLite and MySQL, the
    /// largest to PostgreSQL.
    fn beyond(&self, dialect: Dialect) -> Option<Cond> {
        let null_comes_last = (dialect == Dialect::Postgres) == (self.direction == Direction::Ascending);
        let own = || column(self.column);
        match &self.value {
            None if null_comes_last => None,
            None => Some(Cond::all().add(own().is_not_null())),
            Some(value) => {
                let value = self.value_expr(value);
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
        match &self.value {
            None => column(self.column).is_null(),
            Some(value) => column(self.column).eq(self.value_expr(value)),
        }
    }

    fn value_expr(&self, value: &Value) -> Expr {
        match value {
            Value::String(Some(text)) => text_of(self.column, text),
            value => Expr::val(value.clone()),
        }
    }
}
