//! All tasks of one configuration: where handlers find, list and begin them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::warn;
use uuid::Uuid;

use super::hashing::Hashing;
use super::import::{Plugins, Remote, UnknownPlugin, Web};
use super::legacy::Legacy;
use super::model::{Task, TaskKind, TaskStatus, is_step};
use super::pool::Pool;
use super::{Error, TaskQuery, TaskViewer};
use crate::config::Config;
use crate::db::tasks::{self as rows, Failure, ImageStep, NewTask, TaskStep};
use crate::db::{Db, DbError, clock};
use crate::identity::Context;
use crate::image::{self, Hold, Image, Images};
use crate::keystone::outgoing::{ClientError, UrlFilter};

/// Characters that the column of request ids holds.
const REQUEST_ID_LENGTH: usize = 64;

/// Characters that the column of image ids holds.
const ID_LENGTH: usize = 36;

/// What upstream's tasks say of nearly every failure; the cause follows.
pub(super) const FAILED: &str = "Task failed due to Internal Error";

/// What a task says that was not begun when its worker was stopped.
pub(super) const NO_TIME: &str =
    "The service was stopped before it began this task. What it was asked for can be asked for again.";

/// What a task says whose image got other data before it had begun.
pub(super) const TAKEN: &str = "Somebody else gave the image data before this task began.";

/// What a task says that was given up here. If others have ended it, it says what they have said.
pub(super) const UNREACHED: &str = "The service could not reach the database for a minute and gave up this task. What it was asked for can be asked for again.";

/// The tasks, with one configuration's limits. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    pub(super) db: Db,
    pub(super) images: Images,
    /// Which URLs of users may be fetched.
    filter: UrlFilter,
    pub(super) pool: Arc<Pool>,
    pub(super) web: Web,
    pub(super) remote: Remote,
    pub(super) plugins: Arc<Plugins>,
    pub(super) legacy: Arc<Legacy>,
    pub(super) hashing: Hashing,
    /// How long a task that is done is shown.
    time_to_live: Duration,
    /// How many run at a time.
    limit: usize,
}

/// The tasks cannot be had as the configuration wants them.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Plugin(#[from] UnknownPlugin),
    #[error("downloads from the web: {0}")]
    Web(String),
}

/// On whose behalf a task is begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    pub project: Option<String>,
    pub user: Option<String>,
    pub request_id: String,
}

impl Asker {
    /// Whoever sends a request.
    pub(super) fn of(caller: &Context) -> Self {
        let (project, user) = (caller.project_id.clone(), caller.user_id.clone());
        Self { project, user, request_id: caller.request_id.clone() }
    }
}

impl Tasks {
    /// `filter`: which URLs of users may be fetched. `pool` outlives a configuration; its limit stays as it is until
    /// [`Self::put_limit_in_force`].
    ///
    /// # Errors
    /// The configuration asks for what is not there.
    pub fn new(
        config: &Config,
        db: Db,
        images: Images,
        filter: UrlFilter,
        pool: Arc<Pool>,
    ) -> Result<Self, SetupError> {
        let limit = usize::try_from(config.wsgi.task_pool_threads).unwrap_or(1);
        let time_to_live = config.task.time_to_live();
        let unusable = |error: ClientError| SetupError::Web(error.to_string());
        let web = Web::new(filter.clone()).map_err(unusable)?;
        let remote = Remote::new(config, filter.clone()).map_err(unusable)?;
        let plugins = Arc::new(Plugins::new(config)?);
        let legacy = Arc::new(Legacy::new(config));
        let hashing = Hashing::new(config);
        Ok(Self { db, images, filter, pool, web, remote, plugins, legacy, hashing, time_to_live, limit })
    }

    /// From now on as many tasks run at a time as this configuration says.
    pub(crate) fn put_limit_in_force(&self) {
        self.pool.set_limit(self.limit);
    }

    /// The task of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for one that the viewer may not see.
    pub async fn get(&self, viewer: &TaskViewer, id: &str) -> Result<Task, Error> {
        let found = rows::get(&self.db, id, viewer).await?;
        found.map(Task::from).ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// A task that was registered just now.
    pub(super) async fn created(&self, id: &str) -> Result<Task, Error> {
        let found = rows::get_current(&self.db, id).await?;
        found.map(Task::from).ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// The tasks of one page.
    ///
    /// # Errors
    /// [`Error::MarkerMissing`], [`Error::MarkerHidden`], [`Error::SortKey`]
    pub async fn list(&self, query: TaskQuery) -> Result<Vec<Task>, Error> {
        Ok(rows::list(&self.db, query).await?.into_iter().map(Task::from).collect())
    }

    /// The tasks that concern an image, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn of_image(&self, viewer: &TaskViewer, image_id: &str) -> Result<Vec<Task>, Error> {
        Ok(rows::of_image(&self.db, image_id, viewer).await?.into_iter().map(Task::from).collect())
    }

    /// Whether the service may fetch data from there, as far as the filter of `[import_filtering_opts]` is concerned.
    pub async fn may_fetch(&self, url: &str) -> bool {
        self.filter.allows(url).await
    }

    /// Registers a task. One of the type `import` runs when there is room; for the others there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Image`]
    pub async fn create(&self, kind: TaskKind, caller: &Arc<Context>, input: Value) -> Result<Task, Error> {
        let new = new_task(kind, &Asker::of(caller), image_of(&input), input.clone());
        if kind == TaskKind::Import {
            if !self.pool.has_room() {
                return Err(Error::Full);
            }
            return self.begin_legacy(new, caller, input).await;
        }
        let id = new.id.clone();
        let failure = Failure { message: nothing_to_do(kind), expires_at: clock::now() + self.time_to_live };
        rows::create_failed(&self.db, new, failure).await?;
        let created = self.created(&id).await?;
        // Upstream answers before it begins, and so finds that there is nothing to do.
        Ok(Task { status: TaskStatus::Pending, message: String::new(), expires_at: None, ..created })
    }

    /// Ends a task that has not begun, and frees its image. `message`: why; where the image has, or gets, other data it says [`TAKEN`]. False:
    /// nothing was done, as the image is deleted, or as by [`Tasks::end_overtaken`].
    pub(super) async fn end_unbegun(
        &self,
        id: &str,
        image: &Image,
        hold: &Hold,
        message: &str,
    ) -> Result<bool, image::Error> {
        let ends =
            [(self.images.step_of_nothing(image, hold), message), (self.images.step_of_overtaken(image, hold), TAKEN)];
        for (image_step, message) in ends {
            let step = TaskStep {
                message: Some(message.to_owned()),
                image: Some(image_step),
                ..self.step(id, &[TaskStatus::Pending], TaskStatus::Failure)
            };
            match rows::take_step(&self.db, step).await {
                Ok(()) => return Ok(true),
                Err(DbError::NotFound { .. } | DbError::StateConflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.end_overtaken(id, &image.id, TAKEN).await
    }

    /// `pending` → `processing`
    pub(super) async fn begin(&self, id: &str) -> Result<(), DbError> {
        self.begin_with(id, None).await
    }

    /// The same, with what it means for the image. May be tried again when nobody knows whether it was done.
    pub(super) async fn begin_with(&self, id: &str, image: Option<ImageStep>) -> Result<(), DbError> {
        self.work_on(id, &TaskStatus::UNFINISHED, image).await
    }

    /// A step of the image in the middle of its task.
    pub(super) async fn go_on(&self, id: &str, image: ImageStep) -> Result<(), DbError> {
        self.work_on(id, &[TaskStatus::Processing], Some(image)).await
    }

    async fn work_on(&self, id: &str, from: &[TaskStatus], image: Option<ImageStep>) -> Result<(), DbError> {
        rows::take_step(&self.db, TaskStep { image, ..TaskStatus::Processing.step(id, from) }).await
    }

    /// To `failure`, whatever it did.
    pub(super) async fn fail(&self, id: &str, message: String) -> Result<(), DbError> {
        let step = self.step(id, &TaskStatus::UNFINISHED, TaskStatus::Failure);
        rows::take_step(&self.db, TaskStep { message: Some(message), ..step }).await
    }

    /// The task fails whose image somebody else gives data. False: nothing was done, since another host has taken the image and ends the
    /// task with it, or nobody has.
    pub(super) async fn end_overtaken(&self, id: &str, image_id: &str, message: &str) -> Result<bool, image::Error> {
        if !self.images.is_overtaken(image_id, id).await? {
            return Ok(false);
        }
        warn!(task_id = id, image_id, "a task has lost its image to somebody else");
        self.fail_freed(id, image_id, message).await.map(|()| true)
    }

    /// The task fails, and its lock goes from an image about which there is nothing else to do.
    pub(super) async fn fail_freed(&self, id: &str, image_id: &str, message: &str) -> Result<(), image::Error> {
        // First, since nobody looks at the lock of a task that has ended; whoever restores a deleted image must not find it locked.
        self.images.unlock(image_id, id).await?;
        match self.fail(id, message.to_owned()).await {
            Ok(()) | Err(DbError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves the image to recovery, as the end of its task cannot be written down. `reason`: what the task will say.
    pub(super) async fn leave_unclear(
        &self,
        task_id: &str,
        hold: Hold,
        error: &(dyn std::error::Error + Send + Sync + 'static),
        reason: &str,
    ) {
        unclear(task_id, error);
        self.images.leave(hold, reason).await;
    }

    /// A step of the state machine, with the time from which on a task that is done is no longer shown.
    pub(super) fn step(&self, id: &str, from: &'static [TaskStatus], to: TaskStatus) -> TaskStep {
        debug_assert!(from.iter().all(|from| is_step(*from, to)), "{from:?} to {to:?}");
        let is_end = matches!(to, TaskStatus::Success | TaskStatus::Failure);
        TaskStep { expires_at: is_end.then(|| clock::now() + self.time_to_live), ..to.step(id, from) }
    }
}

/// The end of a task cannot be written down; recovery looks at it.
pub(super) fn unclear(task_id: &str, error: &(dyn std::error::Error + 'static)) {
    warn!(task_id, error, "the end of a task cannot be written down yet");
}

pub(super) fn new_task(kind: TaskKind, asker: &Asker, image_id: Option<String>, input: Value) -> NewTask {
    NewTask {
        id: Uuid::new_v4().to_string(),
        kind: kind.as_str().to_owned(),
        owner: asker.project.clone().unwrap_or_default(),
        image_id,
        request_id: Some(asker.request_id.chars().take(REQUEST_ID_LENGTH).collect()),
        user_id: asker.user.clone(),
        input,
    }
}

/// Why a task fails that only the tasks API has asked for.
fn nothing_to_do(kind: TaskKind) -> String {
    match kind {
        // Upstream begins, and finds that the image is not locked for the task.
        TaskKind::ApiImageImport => {
            "The task has no import of its image to do; imports are begun at /v2/images/{id}/import.".to_owned()
        }
        TaskKind::Import | TaskKind::LocationImport | TaskKind::Unknown(_) => format!(
            "This task type {} is not supported by the current deployment of Glance. Please refer the documentation provided \
             by OpenStack or your operator for more information.",
            kind.as_str()
        ),
    }
}

/// The image that a request to the tasks API says the task is about.
fn image_of(input: &Value) -> Option<String> {
    input.get("image_id")?.as_str().filter(|id| id.chars().count() <= ID_LENGTH).map(str::to_owned)
}
