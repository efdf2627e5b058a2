//! A page of tasks (`_task_get_all` and `_paginate_query` in `glance/db/sqlalchemy/api.py`).

use sea_query::{Cond, Expr, ExprTrait, Order, Query, Value};

use super::get::unexpired;
use super::model::{COLUMNS, TaskRecord, TaskViewer};
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::retry::Operation;
use crate::db::row::Columns;
use crate::db::session::Session;
use crate::db::sql::live;

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

/// What a marker has in a column by which the list is sorted.
type Bound = (&'static str, Option<Value>);

/// The tasks of a page, without their input, result and message.
///
/// # Errors
/// [`DbError::MarkerNotFound`] and [`DbError::MarkerNotVisible`]; [`DbError::NotFound`] of a column for a key by which nothing
/// can be sorted.
pub async fn list(db: &Db, query: TaskQuery) -> Result<Vec<TaskRecord>, DbError> {
    let columns = keys(&query.sort_key)?;
    db.read(List { query, columns }).await
}

/// The columns by which a list is sorted, so that no two tasks are equal.
fn keys(wanted: &str) -> Result<Vec<&'static str>, DbError> {
    let known = COLUMNS.into_iter().find(|name| *name == wanted);
    let known = known.ok_or_else(|| DbError::NotFound { what: "column", key: wanted.to_owned() })?;
    let always = ["created_at", "id"];
    Ok(Some(known).filter(|name| !always.contains(name)).into_iter().chain(always).collect())
}

struct List {
    query: TaskQuery,
    columns: Vec<&'static str>,
}

impl Operation for List {
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
            select.cond_where(after(session.dialect(), &bounds, query.is_descending));
        }
        if query.limit == 0 || wanted.is_none() {
            return Ok(Vec::new());
        }
        let order = if query.is_descending { Order::Desc } else { Order::Asc };
        for column in &self.columns {
            select.order_by(*column, order.clone());
        }
        select.limit(query.limit);
        session.rows(&select, |row| TaskRecord::read(&mut Columns::of(row))).await
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
        let mut query = Query::select();
        query.columns(COLUMNS).from("tasks").and_where(Expr::col("id").eq(id));
        if !self.query.viewer.is_admin {
            query.and_where(live("tasks"));
        }
        let found = session.row(&query, |row| TaskRecord::read(&mut Columns::of(row))).await?;
        let task = found.ok_or_else(|| DbError::MarkerNotFound(id.to_owned()))?;
        if !self.query.viewer.can_see(&task.owner) {
            return Err(DbError::MarkerNotVisible(id.to_owned()));
        }
        Ok(self.columns.iter().map(|column| (*column, value(&task, column))).collect())
    }
}

/// What a task has in a column; `None` is NULL.
fn value(task: &TaskRecord, column: &str) -> Option<Value> {
    match column {
        "type" => Some(task.kind.as_str().into()),
        "status" => Some(task.status.as_str().into()),
        "owner" => Some(task.owner.as_str().into()),
        "expires_at" => task.expires_at.map(Value::from),
        "created_at" => Some(task.created_at.into()),
        "updated_at" => Some(task.updated_at.into()),
        "deleted_at" => task.deleted_at.map(Value::from),
        "deleted" => Some(task.deleted.into()),
        "image_id" => task.image_id.as_deref().map(Value::from),
        "request_id" => task.request_id.as_deref().map(Value::from),
        "user_id" => task.user_id.as_deref().map(Value::from),
        _ => Some(task.id.as_str().into()),
    }
}

/// Holds for what comes after the marker: (a > A) or (a = A and b > B) or …, with NULL where the database sorts it: it is the smallest
/// to SQLite and MySQL, the largest to PostgreSQL.
fn after(dialect: Dialect, bounds: &[Bound], is_descending: bool) -> Cond {
    let null_comes_last = (dialect == Dialect::Postgres) != is_descending;
    let mut any = Cond::any();
    for (index, (column, value)) in bounds.iter().enumerate() {
        let own = || Expr::col(*column);
        let beyond = match value {
            None if null_comes_last => continue,
            None => Cond::all().add(own().is_not_null()),
            Some(value) => {
                let further = if is_descending { own().lt(value.clone()) } else { own().gt(value.clone()) };
                Cond::any().add(further).add_option(null_comes_last.then(|| own().is_null()))
            }
        };
        let ties = bounds.iter().take(index).fold(Cond::all(), |all, (column, value)| {
            all.add(match value {
                None => Expr::col(*column).is_null(),
                Some(value) => Expr::col(*column).eq(value.clone()),
            })
        });
        any = any.add(ties.add(beyond));
    }
    any
}
