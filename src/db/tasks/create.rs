//! Registering a task.

use sea_query::Query;
use time::PrimitiveDateTime;

use super::model::NewTask;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::images::{self, TaskLock};
use crate::db::retry::UnitOfWork;
use crate::db::session::Session;
use crate::schema::python::json;

/// Registers a pending task (`task_create` in `glance/db/sqlalchemy/api.py`). Its message is NULL, and not empty as of a task of upstream's
/// server, which shows both alike: so hosts of ours know each other's
/// tasks (see [`Lease`](super::Lease)).
///
/// # Errors
/// Those of the database.
pub async fn create(db: &Db, task: NewTask) -> Result<(), DbError> {
    db.write(Create { task, lock: None, failure: None }).await
}

/// A task that has failed, from its beginning.
#[derive(Clone, Debug)]
pub struct Failure {
    pub message: String,
    /// When it is no longer shown.
    pub expires_at: PrimitiveDateTime,
}

/// Registers a task for which there is nothing to do: it has failed already, so no crash can leave it pending.
///
/// # Errors
/// Those of the database.
pub async fn create_failed(db: &Db, task: NewTask, failure: Failure) -> Result<(), DbError> {
    db.write(Create { task, lock: None, failure: Some(failure) }).await
}

/// Registers a pending task that has an image for itself: in the same transaction the image gets a property with the task's
/// id, and the task's id owns the image's data (see [`images::with_owner`]).
///
/// # Errors
/// [`DbError::Duplicate`] if the image has the property, or somebody owns its data; [`DbError::StateConflict`]; [`DbError::NotFound`] if there is no such image.
pub async fn create_locked(db: &Db, task: NewTask, lock: TaskLock) -> Result<(), DbError> {
    db.write(Create { task, lock: Some(lock), failure: None }).await
}

struct Create {
    task: NewTask,
    lock: Option<TaskLock>,
    failure: Option<Failure>,
}

impl UnitOfWork for Create {
    type Output = ();
    const NAME: &'static str = "create task";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let NewTask { id, kind, owner, image_id, request_id, user_id, input } = &self.task;
        let now = clock::now();
        let (status, message, expires_at) = match &self.failure {
            Some(failure) => ("failure", Some(failure.message.as_str()), Some(failure.expires_at)),
            None => ("pending", None, None),
        };
        if let Some(lock) = &self.lock {
            images::lock_and_own(session, lock, id, now).await?;
        }
        let mut task = Query::insert();
        task.into_table("tasks").columns([
            "id",
            "type",
            "status",
            "owner",
            "image_id",
            "request_id",
            "user_id",
            "created_at",
            "updated_at",
            "expires_at",
            "deleted",
        ]);
        task.values_panic([
            id.as_str().into(),
            kind.as_str().into(),
            status.into(),
            owner.as_str().into(),
            image_id.clone().into(),
            request_id.clone().into(),
            user_id.clone().into(),
            now.into(),
            now.into(),
            expires_at.into(),
            false.into(),
        ]);
        session.execute(&task).await?;
        let input = json::to_text(input);
        let mut info = Query::insert();
        info.into_table("task_info").columns(["task_id", "input", "message"]);
        info.values_panic([id.as_str().into(), input.into(), message.into()]);
        session.execute(&info).await.map(drop)
    }
}
