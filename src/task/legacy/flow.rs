//! The task: an image is made, its data brought, and what became of both written down.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::input::{Input, InputError};
use super::rework::Rework;
use crate::db::DbError;
use crate::db::tasks::{self as rows, NewTask, TaskStep};
use crate::identity::Context;
use crate::image::{self, Image, Making, Upload};
use crate::store::Priority;
use crate::sys::crash_point::crash_point;
use crate::task::Error;
use crate::task::import::{FetchError, PluginError, Progress, Source, Subject, aside, file_source};
use crate::task::model::{Task, TaskStatus};
use crate::task::pool::{Ended, Turn, Work};
use crate::task::tasks::{FAILED, NO_TIME, Tasks, UNREACHED};

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Input(#[from] InputError),
    /// In upstream's words.
    #[error("URI for legacy import task does not pass filtering: {0}")]
    Filtered(String),
    #[error("{FAILED}: The data cannot be downloaded: {0}")]
    Fetch(#[from] FetchError),
    #[error("{FAILED}: {0}")]
    Rework(#[from] PluginError),
    /// In upstream's words.
    #[error("OVA extract is limited to admin")]
    Archive,
    #[error("{FAILED}: The data cannot be read: {0}")]
    Read(std::io::Error),
    #[error("{FAILED}: {0}")]
    Image(#[from] image::Error),
    /// In upstream's words.
    #[error("Uploading the image failed due to: {0}")]
    Upload(image::Error),
}

impl Tasks {
    /// Registers a task, and begins it when there is room.
    ///
    /// # Errors
    /// [`Error::Image`] if the intent log cannot be written, [`Error::Full`], those of the database.
    pub(in crate::task) async fn begin_legacy(
        &self,
        new: NewTask,
        caller: &Arc<Context>,
        input: Value,
    ) -> Result<Task, Error> {
        let id = new.id.clone();
        let begun = self.images.begin_making(&id, |image_id| self.legacy.files(image_id)).await;
        let making = begun.map_err(Error::Image)?;
        crash_point("make.noted");
        match rows::create(&self.db, new).await {
            Ok(()) => {}
            // The entry stays, and recovery looks.
            Err(error) if error.is_unknown() => return Err(error.into()),
            Err(error) => {
                self.images.end_making(making).await;
                return Err(error.into());
            }
        }
        let created = self.created(&id).await?;
        // Dropped when the queue is full after all, the making is left to recovery, which ends the task.
        self.pool.submit(&id, self.clone().legacy_work(making, Arc::clone(caller), input))?;
        Ok(created)
    }

    fn legacy_work(self, making: Making, caller: Arc<Context>, input: Value) -> Work {
        Box::new(move |turn| {
            Box::pin(async move {
                match turn {
                    Turn::Begin(stop) => self.begin_making(making, caller, input, stop).await,
                    Turn::Never => {
                        self.end_badly(making, NO_TIME.to_owned()).await;
                        Ended::Over
                    }
                }
            })
        })
    }

    async fn begin_making(self, making: Making, caller: Arc<Context>, input: Value, stop: CancellationToken) -> Ended {
        match self.begin(making.task_id()).await {
            Ok(()) => {
                crash_point("make.begun");
                self.import_legacy(making, &caller, &input, stop).await;
                Ended::Over
            }
            Err(error) => {
                unclear(making.task_id(), &error);
                // Where it was ended by somebody else, or the database refuses it, recovery looks at it.
                if error.is_unavailable() {
                    Ended::Unbegun(self.legacy_work(making, caller, input))
                } else {
                    Ended::Over
                }
            }
        }
    }

    /// Runs a task that has begun to one of its ends. `stop`: it was ended by somebody else, or soon will be.
    async fn import_legacy(self, making: Making, caller: &Arc<Context>, input: &Value, stop: CancellationToken) {
        let task_id = making.task_id().to_owned();
        let progress = Progress::of(self.pool.headway());
        let threads = progress.threads().clone();
        let made = tokio::select! {
            made = self.make(&making, caller, input, &progress) => Some(made),
            () = stop.cancelled() => None,
        };
        // What is written late must not be left behind.
        threads.close();
        threads.wait().await;
        let Some(made) = made else {
            warn!(task_id, "an import task was given up");
            return self.images.leave_making(making, UNREACHED).await;
        };
        match made {
            Ok(()) => self.end_well(making).await,
            Err(failed) => {
                warn!(task_id, image_id = making.image_id(), "an import task has failed: {failed}");
                self.end_badly(making, failed.to_string()).await;
            }
        }
    }

    async fn make(
        &self,
        making: &Making,
        caller: &Arc<Context>,
        input: &Value,
        progress: &Progress,
    ) -> Result<(), Failed> {
        let input = Input::read(input, &self.legacy.schema)?;
        // The filter may be another one than when the task was asked for.
        if !self.may_fetch(&input.url).await {
            return Err(Failed::Filtered(input.url));
        }
        let image = self.images.make(making, &input.base, &input.properties, input.owner.clone()).await?;
        crash_point("make.registered");
        let source = self.web.open(&input.url).await?;
        let subject = Subject { task_id: making.task_id(), image_id: making.image_id(), hold: None };
        let (source, files) = match &self.legacy.rework {
            None => (source, None),
            Some(rework) => {
                let files = rework.files(&image.id);
                let work = self.rework(rework, making, &image, caller, source, progress);
                (self.reporting(subject, progress, None, work).await?, Some(files))
            }
        };
        let size = source.size;
        let upload = Upload {
            // Where stores have no ids, upstream does not look at it.
            store: input.store.filter(|_| self.images.has_store_ids()),
            announced: size.map(i128::from),
            length: size,
            project: caller.project_id.clone(),
            caller: Arc::clone(caller),
            priority: Priority::Background,
            data: progress.count(source.data),
        };
        // Whatever has been changed meanwhile counts, as upstream's step reads the image anew.
        let stored = self.images.upload(self.images.made(making).await?, upload);
        let stored = self.reporting(subject, progress, size, stored).await;
        crash_point("make.stored");
        if let Some(files) = files {
            remove(&files).await;
        }
        stored.map_err(|error| match error {
            image::Error::Client(_) | image::Error::Store(_) => Failed::Upload(error),
            other => Failed::Image(other),
        })
    }

    /// Puts the data into a file and works on it there; the image says then what the data is.
    async fn rework(
        &self,
        rework: &Arc<Rework>,
        making: &Making,
        image: &Image,
        caller: &Context,
        source: Source,
        progress: &Progress,
    ) -> Result<Source, Failed> {
        let files = rework.files(&image.id);
        rework.keep(&files[0], progress.count(source.data), progress).await?;
        crash_point("make.kept");
        let is_archive = image.container_format.as_deref() == Some("ova");
        if is_archive && !caller.is_admin {
            return Err(Failed::Archive);
        }
        let format = image.disk_format.clone().unwrap_or_else(|| "raw".to_owned());
        let (work, all, counted) = (Arc::clone(rework), files.clone(), progress.clone());
        let reworked = aside(progress, move |interrupt| {
            work.run(&all, is_archive, &format, interrupt, &|percent| counted.converted(percent.0))
        });
        let found = reworked.await?;
        crash_point("make.reworked");
        self.images.amend(making, found).await?;
        file_source(&files[0]).await.map_err(Failed::Read)
    }

    async fn end_well(&self, making: Making) {
        let task_id = making.task_id();
        let step = TaskStep {
            result: Some(json!({"image_id": making.image_id()})),
            ..self.step(task_id, &[TaskStatus::Processing], TaskStatus::Success)
        };
        match rows::take_step(&self.db, step).await {
            Ok(()) | Err(DbError::NotFound { .. }) => {
                crash_point("make.ended");
                info!(task_id, image_id = making.image_id(), "an import task has ended well");
                self.images.end_making(making).await;
            }
            Err(error) => unclear(task_id, &error),
        }
    }

    /// The image goes, and then the task fails.
    async fn end_badly(&self, making: Making, message: String) {
        let task_id = making.task_id();
        if let Some(rework) = &self.legacy.rework {
            remove(&rework.files(making.image_id())).await;
        }
        match self.images.unmake(making.image_id()).await {
            Ok(true) => {}
            Ok(false) => return self.images.leave_making(making, &message).await,
            Err(error) => {
                unclear(task_id, &error);
                return self.images.leave_making(making, &message).await;
            }
        }
        crash_point("make.unmade");
        match self.fail(task_id, message.clone()).await {
            Ok(()) | Err(DbError::NotFound { .. }) => self.images.end_making(making).await,
            Err(error) => {
                unclear(task_id, &error);
                self.images.leave_making(making, &message).await;
            }
        }
    }
}

/// Recovery looks at it.
fn unclear(task_id: &str, error: &(dyn std::error::Error + 'static)) {
    warn!(task_id, error, "a step of an import task cannot be written down yet");
}

async fn remove(files: &[PathBuf]) {
    for file in files {
        match tokio::fs::remove_file(file).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                warn!(file = %file.display(), %error, "a file of an import task stays for now");
            }
            _ => {}
        }
    }
}
