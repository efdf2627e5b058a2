//! A page of tasks (`_task_get_all` and `_paginate_query` in `glance/db/sqlalchemy/api.py`).

use sea_query::{Cond, Expr, ExprTrait, Order, Query};

use super::get::unexpired;
use super::model::{COLUMNS, TaskRecord, TaskViewer};
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::model::UNREADABLE_OWNER;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::live;
use crate::db::unreadable::TableRow;

/// What a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    pub viewer: TaskViewer,
    pub limit: u64,
    /// Id of the last task of the page before.
    pub marker: Option<String>,
    /// A column; unknown ones are refused.
    pub sort_key: String,
    pub is_descending: bool,
    /// Columns of text and what they must be; others are ignored, as upstream does.
    pub filters: Vec<(String, String)>,
}

/// Columns by which a list may be filtered.
const FILTERS: [&str; 7] = ["id", "type", "status", "owner", "image_id", "request_id", "user_id"];

/// A column by which the list is sorted, and whether the marker has NULL there.
type Bound = (&'static str, bool);

/// The name of the marker's row in conditions.
const MARKER: &str = "marker";

/// The tasks of a page, without their input, result and message.
///
/// # Errors
/// [`DbError::MarkerNotFound`] and [`DbError::MarkerNotVisible`]; [`DbError::NotFound`] of a column for a key by which nothing
/// can be sorted.
pub async fn list(db: &Db, query: TaskQuery) -> Result<Vec<TaskRecord>, DbError> {
    let key = COLUMNS.into_iter().find(|name| *name == query.sort_key);
    db.read(List { columns: keys(key), has_key: key.is_some(), query }).await
}

/// The columns by which a list is sorted, so that no two tasks are equal.
fn keys(wanted: Option<&'static str>) -> Vec<&'static str> {
    let always = ["created_at", "id"];
    wanted.filter(|name| !always.contains(name)).into_iter().chain(always).collect()
}

struct List {
    query: TaskQuery,
    columns: Vec<&'static str>,
    /// Whether the key that is asked for is a column. Upstream tells a missing marker before a key that is none.
    has_key: bool,
}

impl UnitOfWork for List {
    type Output = Vec<TaskRecord>;
    const NAME: &'static str = "list tasks";

    async fn run(&self, session: &mut Session) -> Result<Vec<TaskRecord>, DbError> {
        let query = &self.query;
        let mut select = Query::select();
        select
            .columns(COLUMNS.map(|name| ("tasks", name)))
            .from("tasks")
            .and_where(live("tasks"))
            .cond_where(unexpired());
        if let Some(project) = query.viewer.project.as_deref().filter(|_| !query.viewer.is_admin) {
            select.and_where(Expr::col("owner").eq(project));
        }
        let wanted = wanted(&query.filters);
        for (column, value) in wanted.iter().flatten() {
            select.and_where(Expr::col(*column).eq(*value));
        }
        if let Some(marker) = &query.marker {
            let bounds = self.marker(session, marker).await?;
            select.cond_where(after(session.dialect(), marker, &bounds, query.is_descending));
        }
        if !self.has_key {
            return Err(DbError::NotFound { what: "column", key: query.sort_key.clone() });
        }
        if query.limit == 0 || wanted.is_none() {
            return Ok(Vec::new());
        }
        let order = if query.is_descending { Order::Desc } else { Order::Asc };
        for column in &self.columns {
            select.order_by(*column, order.clone());
        }
        select.limit(query.limit);
        session.rows(&select, |row| Ok(TaskRecord::read(&mut Columns::of(row)))).await
    }
}

/// What each column must be; `None` if one must be two things, so that no task is meant. A client may send any number of filters.
fn wanted(filters: &[(String, String)]) -> Option<Vec<(&'static str, &str)>> {
    let mut wanted: Vec<(&'static str, &str)> = Vec::new();
    for (name, value) in filters {
        let Some(column) = FILTERS.into_iter().find(|column| column == name) else { continue };
        match wanted.iter().find(|(known, _)| *known == column) {
            None => wanted.push((column, value)),
            Some((_, other)) if other == value => {}
            Some(_) => return None,
        }
    }
    Some(wanted)
}

impl List {
    async fn marker(&self, session: &mut Session, id: &str) -> Result<Vec<Bound>, DbError> {
        let is_null = |column: &&'static str| Expr::case(Expr::col(*column).is_null(), Expr::cust("1"));
        let mut query = Query::select();
        query.column("owner").exprs(self.columns.iter().map(|column| is_null(column).finally(Expr::cust("0"))));
        query.from("tasks").and_where(Expr::col("id").eq(id));
        if !self.query.viewer.is_admin {
            query.and_where(live("tasks"));
        }
        let read = |row: &dyn Row| {
            let mut columns = Columns::of(row);
            let owner = TableRow::new("tasks", &id).or(columns.text(), || UNREADABLE_OWNER.to_owned());
            let bound = |column: &&'static str| Ok((*column, columns.integer()? != 0));
            Ok((owner, self.columns.iter().map(bound).collect::<Result<Vec<Bound>, DbError>>()?))
        };
        let (owner, bounds) = session.row(&query, read).await?.ok_or_else(|| DbError::MarkerNotFound(id.to_owned()))?;
        if !self.query.viewer.can_see(&owner) {
            return Err(DbError::MarkerNotVisible(id.to_owned()));
        }
        Ok(bounds)
    }
}

/// What the marker has in a column. The database looks itself, so that it may be something that cannot be read.
fn of_marker(id: &str, column: &'static str) -> Expr {
    let mut marker = Query::select();
    marker.column((MARKER, column)).from_as("tasks", MARKER).and_where(Expr::col((MARKER, "id")).eq(id));
    Expr::from(marker)
}

/// Holds for what comes after the marker: (a > A) or (a = A and b > B) or …, with NULL where the database sorts it: it is the smallest
/// to SQLite and MySQL, the largest to PostgreSQL.
fn after(dialect: Dialect, marker: &str, bounds: &[Bound], is_descending: bool) -> Cond {
    let null_comes_last = (dialect == Dialect::Postgres) != is_descending;
    let mut any = Cond::any();
    for (index, &(column, is_null)) in bounds.iter().enumerate() {
        let own = || Expr::col(("tasks", column));
        let beyond = match (is_null, null_comes_last) {
            (true, true) => continue,
            (true, false) => Cond::all().add(own().is_not_null()),
            (false, _) => {
                let value = of_marker(marker, column);
                let further = if is_descending { own().lt(value) } else { own().gt(value) };
                Cond::any().add(further).add_option(null_comes_last.then(|| own().is_null()))
            }
        };
        let ties = bounds.iter().take(index).fold(Cond::all(), |all, &(column, is_null)| {
            let own = Expr::col(("tasks", column));
            all.add(if is_null { own.is_null() } else { own.eq(of_marker(marker, column)) })
        });
        any = any.add(ties.add(beyond));
    }
    any
}
