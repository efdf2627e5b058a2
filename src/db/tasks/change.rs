//! The steps of a task, and the renewal of its lease.

use sea_query::{Expr, ExprTrait, Query, UpdateStatement};
use serde_json::Value;
use time::PrimitiveDateTime;

use super::missing;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::ImageUpdate;
use crate::db::retry::UnitOfWork;
use crate::db::session::{Session, Transaction};
use crate::db::sql::{live, padded};
use crate::db::{images, locations};
use crate::schema::python::json;

/// The statuses of a task that somebody works on, or will.
const UNFINISHED: [&str; 2] = ["pending", "processing"];

/// A task from one status to another, together with what that means for its image.
#[derive(Clone, Debug)]
pub struct TaskStep {
    pub task: String,
    /// One of these it must be in.
    pub from: Vec<&'static str>,
    pub to: &'static str,
    pub result: Option<Value>,
    pub message: Option<String>,
    /// When the task is no longer shown.
    pub expires_at: Option<PrimitiveDateTime>,
    pub image: Option<ImageStep>,
}

/// What a step of a task does to an image that the task has for itself.
#[derive(Clone, Debug)]
pub struct ImageStep {
    pub id: String,
    pub change: ImageUpdate,
    /// One of these statuses the image must be in.
    pub from: Vec<String>,
    /// The owner of the image's data; with another one the step is refused.
    pub token: String,
    /// The property that keeps other tasks from the image goes, placeholder locations go, and nobody owns the image's data any more.
    pub unlocks: Option<&'static str>,
}

/// Takes a step, or nothing of it.
///
/// # Errors
/// [`DbError::NotFound`] where there is no such task or it is in another status, or the image is not there;
/// [`DbError::StateConflict`] if the image is in another status or its data has another owner, [`DbError::LocationsChanged`].
pub async fn take_step(db: &Db, step: TaskStep) -> Result<(), DbError> {
    db.write(step).await
}

impl UnitOfWork for TaskStep {
    type Output = ();
    const NAME: &'static str = "take a step of a task";
    // The step before may have been committed on another node; who finds the task in another status takes it for ended.
    const TRANSACTION: Transaction = Transaction::CaughtUp;

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        // The image first, in the order in which a new task locks the rows too.
        if let Some(image) = &self.image {
            images::change_owned(session, &image.id, &image.change, &image.from, &image.token).await?;
            if let Some(lock) = image.unlocks {
                images::unlock_and_disown(session, &image.id, lock, &self.task, &image.token).await?;
                locations::drop_placeholders_of(session, &image.id).await?;
            }
        }
        let mut update = Query::update();
        update.table("tasks").values([("status", self.to.into()), ("updated_at", clock::now().into())]);
        if let Some(expires_at) = self.expires_at {
            update.value("expires_at", expires_at);
        }
        let update = of_task(update, &self.task, &self.from);
        if session.execute(&update).await? == 0 {
            return Err(missing(&self.task));
        }
        let mut info = Query::update();
        info.table("task_info").and_where(Expr::col("task_id").eq(self.task.as_str()));
        if let Some(message) = &self.message {
            info.value("message", message.as_str());
        }
        if let Some(result) = &self.result {
            info.value("result", json::to_text(result));
        }
        if self.message.is_some() || self.result.is_some() {
            session.execute(&info).await?;
        }
        Ok(())
    }
}

fn of_task(mut update: UpdateStatement, id: &str, from: &[&str]) -> UpdateStatement {
    update
        .and_where(Expr::col("id").eq(id))
        .and_where(live("tasks"))
        .and_where(Expr::col("status").is_in(from.iter().copied()))
        .take()
}

/// Renews the leases of tasks, and gives the ids of those that are still unfinished: the others have been taken from their worker.
///
/// # Errors
/// Those of the database.
pub async fn renew(db: &Db, ids: Vec<String>) -> Result<Vec<String>, DbError> {
    if ids.is_empty() { Ok(ids) } else { db.write(Renew { ids }).await }
}

struct Renew {
    ids: Vec<String>,
}

impl UnitOfWork for Renew {
    type Output = Vec<String>;
    const NAME: &'static str = "renew the leases of tasks";
    // What a task that has just begun on another node would seem not to be, its worker would give up.
    const TRANSACTION: Transaction = Transaction::CaughtUp;

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, DbError> {
        let ids = padded(self.ids.clone());
        let update = Query::update()
            .table("tasks")
            .value("updated_at", clock::now())
            .and_where(Expr::col("id").is_in(ids.iter().map(String::as_str)))
            .and_where(Expr::col("status").is_in(UNFINISHED))
            .take();
        session.execute(&update).await?;
        let query = Query::select()
            .column("id")
            .from("tasks")
            .and_where(Expr::col("id").is_in(ids.iter().map(String::as_str)))
            .and_where(Expr::col("status").is_in(UNFINISHED))
            .take();
        session.rows(&query, |row| crate::db::row::Columns::of(row).text()).await
    }
}

/// Says how far a task is.
///
/// # Errors
/// Those of the database; a task that is not processing any more is no error.
pub async fn report(db: &Db, id: &str, message: String) -> Result<(), DbError> {
    db.write(Report { id: id.to_owned(), message }).await
}

struct Report {
    id: String,
    message: String,
}

impl UnitOfWork for Report {
    type Output = ();
    const NAME: &'static str = "report the progress of a task";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let mut update = Query::update();
        update.table("tasks").value("updated_at", clock::now());
        if session.execute(&of_task(update, &self.id, &["processing"])).await? == 0 {
            return Ok(());
        }
        let info = Query::update()
            .table("task_info")
            .value("message", self.message.as_str())
            .and_where(Expr::col("task_id").eq(self.id.as_str()))
            .take();
        session.execute(&info).await.map(drop)
    }
}

/// Marks as deleted the tasks whose time is over (`_task_soft_delete` in `glance/db/sqlalchemy/api.py`, which does so when a project
/// lists its tasks). Gives their number.
///
/// # Errors
/// Those of the database.
pub async fn remove_expired(db: &Db) -> Result<u64, DbError> {
    db.write(RemoveExpired).await
}

struct RemoveExpired;

impl UnitOfWork for RemoveExpired {
    type Output = u64;
    const NAME: &'static str = "remove expired tasks";

    async fn run(&self, session: &mut Session) -> Result<u64, DbError> {
        let now = clock::now();
        let mut update = Query::update();
        update.table("tasks").values([("deleted", true.into()), ("deleted_at", now.into())]);
        update.and_where(live("tasks")).and_where(Expr::col("expires_at").lte(now));
        session.execute(&update.take()).await
    }
}
