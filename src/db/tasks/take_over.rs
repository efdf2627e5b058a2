//! Taking an image from a task whose worker has died.

use sea_query::{Expr, ExprTrait, Query};

use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::images;
use crate::db::model::ImageUpdate;
use crate::db::retry::UnitOfWork;
use crate::db::session::Session;

/// An image as it was seen, and whose it is to be.
#[derive(Clone, Debug)]
pub struct TakeOver {
    pub image: String,
    /// The image's status.
    pub from: String,
    /// The owner of its data, if there was one.
    pub former: Option<String>,
    /// The status from then on; `None`: the same.
    pub to: Option<String>,
    /// The owner of its data from then on.
    pub token: String,
    /// The task of the worker that died.
    pub task: String,
    /// The property with the id of the task that has the image for itself.
    pub property: &'static str,
}

/// Statuses in which another task asks who owns the data, or none begins: nobody can have the image though it is not locked.
const KEPT_BY_STATUS: [&str; 2] = ["importing", "uploading"];

/// Takes an image that is still as it was seen. It is locked for the task afterwards, and the task's lease is renewed, so that
/// neither an upload nor another task can have the image. Where a user's property is in the place of the lock, the image's status has
/// to be enough.
///
/// # Errors
/// [`DbError::StateConflict`] if the image is in another status or its data has another owner, [`DbError::Duplicate`] if another
/// task has it, [`DbError::NotFound`] if there is no such image, [`DbError::InTheWay`] if only the lock would keep others away.
/// Nothing has changed then.
pub async fn take_over(db: &Db, step: TakeOver) -> Result<(), DbError> {
    db.write(step).await
}

impl UnitOfWork for TakeOver {
    type Output = ();
    const NAME: &'static str = "take over the image of a task";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let Self { image, from, former, to, token, task, property } = self;
        let change = ImageUpdate { status: to.clone(), ..ImageUpdate::default() };
        images::change_and_take_from(session, image, &change, from, former.as_deref(), token).await?;
        match images::lock(session, image, property, task).await {
            Err(DbError::InTheWay(_)) if KEPT_BY_STATUS.contains(&to.as_deref().unwrap_or(from)) => {}
            locked => locked?,
        }
        let renewal = Query::update()
            .table("tasks")
            .value("updated_at", clock::now())
            .and_where(Expr::col("id").eq(task.as_str()))
            .take();
        session.execute(&renewal).await.map(drop)
    }
}
