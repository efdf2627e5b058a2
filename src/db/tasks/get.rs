//! Tasks by their id, by their image, by their state.

use std::collections::HashSet;

use sea_query::{Cond, Expr, ExprTrait, Order, Query, SelectStatement};
use time::PrimitiveDateTime;

use super::model::{COLUMNS, INFO_COLUMNS, TaskRecord, TaskViewer};
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::images;
use crate::db::retry::UnitOfWork;
use crate::db::row::Columns;
use crate::db::session::{Session, Transaction};
use crate::db::sql::{live, padded};
use crate::db::unreadable::TableRow;

/// Tasks of one image that are shown; there are more only where somebody imports in vain for days.
const MOST_OF_IMAGE: u64 = 1000;

/// The task with this id, if the viewer may see it (`task_get` in `glance/db/sqlalchemy/api.py`). Administrators see deleted ones too.
pub async fn get(db: &Db, id: &str, viewer: &TaskViewer) -> Result<Option<TaskRecord>, DbError> {
    let mut select = whole();
    select.and_where(Expr::col(("tasks", "id")).eq(id));
    if !viewer.is_admin {
        select.and_where(live("tasks"));
    }
    let found = db.read(Find { select }).await?;
    // MySQL's collation takes `A` for `a` and ignores blanks at the end.
    Ok(found.into_iter().find(|task| task.id == id && viewer.can_see(&task.owner)))
}

/// The task with this id, deleted or not, as the nodes of a cluster have committed it: who learns that there is none, or that it has ended,
/// may act on that.
///
/// # Errors
/// Those of the database.
pub async fn get_current(db: &Db, id: &str) -> Result<Option<TaskRecord>, DbError> {
    let mut select = whole();
    select.and_where(Expr::col(("tasks", "id")).eq(id));
    let found = db.write(Find { select }).await?;
    // As in [`get`].
    Ok(found.into_iter().find(|task| task.id == id))
}

/// The tasks of an image that the viewer may see and that have not expired, oldest first (`tasks_get_by_image`).
pub async fn of_image(db: &Db, image: &str, viewer: &TaskViewer) -> Result<Vec<TaskRecord>, DbError> {
    let mut select = whole();
    select
        .and_where(Expr::col(("tasks", "image_id")).eq(image))
        .cond_where(unexpired())
        .order_by(("tasks", "created_at"), Order::Asc)
        .order_by(("tasks", "id"), Order::Asc)
        .limit(MOST_OF_IMAGE);
    if !viewer.is_admin {
        select.and_where(live("tasks"));
    }
    let found = db.read(Find { select }).await?;
    Ok(found.into_iter().filter(|task| viewer.can_see(&task.owner)).collect())
}

/// The type of tasks that make an image.
const MAKER: &str = "import";

/// An unfinished task that concerns an image, or makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub task: String,
    pub kind: String,
    pub status: String,
    /// By the clock of whoever renewed it.
    pub renewed_at: PrimitiveDateTime,
    /// The owner of its image's data.
    pub owner: Option<String>,
    /// Whether it makes an image and its message tells that it is a task of ours: upstream's server writes an empty message with such a
    /// task, and no other one before its end.
    pub makes_image_for_us: bool,
}

/// The unfinished tasks that concern or make an image, those that were renewed last first, at most so many.
pub async fn leases(db: &Db, limit: u64) -> Result<Vec<Lease>, DbError> {
    db.write(Leases { limit }).await
}

struct Leases {
    limit: u64,
}

impl UnitOfWork for Leases {
    type Output = Vec<Lease>;
    const NAME: &'static str = "look at the leases of tasks";
    // A renewal by way of another node is one, too.
    const TRANSACTION: Transaction = Transaction::CaughtUp;

    async fn run(&self, session: &mut Session) -> Result<Vec<Lease>, DbError> {
        let select = Query::select()
            .columns(["id", "type", "status", "updated_at", "image_id"])
            .from("tasks")
            .and_where(Expr::col("status").is_in(["pending", "processing"]))
            .and_where(Expr::col("updated_at").is_not_null())
            .and_where(Expr::col("image_id").is_not_null().or(Expr::col("type").eq(MAKER)))
            .and_where(live("tasks"))
            .order_by("updated_at", Order::Desc)
            .limit(self.limit)
            .take();
        let found = session.rows(&select, |row| Ok(lease(&mut Columns::of(row)))).await?;
        // Not by a join, as the tables may have different collations on MySQL.
        let images = found.iter().flatten().filter_map(|(_, image)| image.clone()).collect();
        let owners = images::owners(session, images).await?;
        let makers = found.iter().flatten().map(|(lease, _)| lease).filter(|lease| lease.kind == MAKER);
        let ours = of_ours(session, makers.map(|lease| lease.task.clone()).collect()).await?;
        let complete = |(lease, image): (Lease, Option<String>)| {
            let owner = image.and_then(|image| owners.get(&image).cloned());
            Lease { owner, makes_image_for_us: ours.contains(&lease.task), ..lease }
        };
        Ok(found.into_iter().flatten().map(complete).collect())
    }
}

/// Of these tasks those whose message is not the empty one that upstream's server writes.
async fn of_ours(session: &mut Session, tasks: Vec<String>) -> Result<HashSet<String>, DbError> {
    if tasks.is_empty() {
        return Ok(HashSet::new());
    }
    let message = || Expr::col("message");
    let query = Query::select()
        .column("task_id")
        .from("task_info")
        .and_where(Expr::col("task_id").is_in(padded(tasks)))
        .cond_where(Cond::any().add(message().is_null()).add(message().ne("")))
        .take();
    let found = session.rows(&query, |row| Columns::of(row).text()).await?;
    Ok(found.into_iter().collect())
}

/// With its image; without what other tables say yet. `None`: it cannot be read, so nobody can tell when it was renewed, or what it is of. That
/// holds up no others.
fn lease(columns: &mut Columns<'_>) -> Option<(Lease, Option<String>)> {
    let task = TableRow::new("tasks", &"?").or(columns.text().map(Some), || None)?;
    let read =
        |columns: &mut Columns<'_>| Ok((columns.text()?, columns.text()?, columns.time()?, columns.maybe_text()?));
    let (kind, status, renewed_at, image) = TableRow::new("tasks", &task).or(read(columns).map(Some), || None)?;
    Some((Lease { task, kind, status, renewed_at, owner: None, makes_image_for_us: false }, image))
}

/// Not past the time up to which it is shown.
pub(super) fn unexpired() -> Cond {
    let expires_at = || Expr::col(("tasks", "expires_at"));
    Cond::any().add(expires_at().is_null()).add(expires_at().gte(clock::now()))
}

fn whole() -> SelectStatement {
    let mut select = Query::select();
    select.columns(COLUMNS.map(|name| ("tasks", name))).columns(INFO_COLUMNS.map(|name| ("task_info", name)));
    select.from("tasks").left_join("task_info", Expr::col(("task_info", "task_id")).equals(("tasks", "id")));
    select
}

struct Find {
    select: SelectStatement,
}

impl UnitOfWork for Find {
    type Output = Vec<TaskRecord>;
    const NAME: &'static str = "find tasks";
    // For who asks for the current state; other readers are in no such transaction.
    const TRANSACTION: Transaction = Transaction::CaughtUp;

    async fn run(&self, session: &mut Session) -> Result<Vec<TaskRecord>, DbError> {
        session.rows(&self.select, |row| Ok(TaskRecord::read_whole(&mut Columns::of(row)))).await
    }
}
