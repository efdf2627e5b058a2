//! An image that a task makes from nothing, and that goes with the task when that fails.
//!
//! An entry of the intent log says so on this machine from the time at which the task is asked for. The image's data is uploaded
//! like any other, so a crash leaves a queued image at most, which recovery removes, or an active one, with which the task has succeeded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;
use tracing::info;
use uuid::Uuid;

use super::task::TaskStatus;
use crate::db::images::{self as rows, ImageAndOwner};
use crate::db::model::{ImageUpdate, OtherProperties};
use crate::db::tasks::{self, TaskStep};
use crate::db::{DbError, clock};
use crate::image::intent_log::{Entry, Intent, Record, Token, Work};
use crate::image::{Error, Image, Images, Status, Viewer};
use crate::notifications::Change;
use crate::store::StoreError;

/// How often recovery looks whether an image is still being given data, before it puts that off to its next run.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(100);

/// What a task says that was ended so.
const DIED: &str = "The service ended while it worked on this task. Nothing was kept.";

/// A task that makes an image. Dropped, it is left to recovery.
pub(crate) struct Making {
    task_id: String,
    image_id: String,
    entry: Entry,
}

/// What the data of an image turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) disk_format: String,
    /// `None`: as it was.
    pub(crate) container_format: Option<String>,
    /// To be set beside those that the image has.
    pub(crate) properties: Vec<(String, String)>,
}

impl Making {
    pub(crate) fn task_id(&self) -> &str {
        &self.task_id
    }

    /// The id that the image has, or will have.
    pub(crate) fn image_id(&self) -> &str {
        &self.image_id
    }
}

impl Images {
    /// Notes that a task is about to make an image. `files`: where an image's data may lie besides stores, given its id.
    ///
    /// # Errors
    /// [`Error::IntentLog`]
    pub(crate) async fn begin_making(
        &self,
        task_id: &str,
        files: impl FnOnce(&str) -> Vec<PathBuf>,
    ) -> Result<Making, Error> {
        let image_id = Uuid::new_v4().to_string();
        let places = files(&image_id).iter().map(|file| format!("file://{}", file.display())).collect();
        let entry = self.begin_entry(Intent::Make, &image_id, &Token::of_task(task_id), places).await?;
        Ok(Making { task_id: task_id.to_owned(), image_id, entry })
    }

    /// Registers the image.
    ///
    /// # Errors
    /// As [`Images::create`].
    pub(crate) async fn make(
        &self,
        making: &Making,
        base: &Map<String, Value>,
        properties: &Map<String, Value>,
        owner: Option<String>,
    ) -> Result<Image, Error> {
        let mut base = base.clone();
        base.insert("id".to_owned(), making.image_id.clone().into());
        self.create(&base, properties, owner).await
    }

    /// The image as it is now: its owner may change it while its data is worked on.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub(crate) async fn made(&self, making: &Making) -> Result<Image, Error> {
        self.get_as_stored(&Viewer { project: None, is_admin: true }, &making.image_id).await
    }

    /// Writes down what the data of an image that waits for it turned out to be.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Raced`] if it waits no more, [`Error::NotFound`].
    pub(crate) async fn amend(&self, making: &Making, found: Findings) -> Result<(), Error> {
        let mut image = self.made(making).await?;
        image.disk_format = Some(found.disk_format.clone());
        if let Some(format) = &found.container_format {
            image.container_format = Some(format.clone());
        }
        for (name, value) in &found.properties {
            image.properties.set(name, Some(value.clone()));
        }
        self.options.limits.check_properties(image.properties.names())?;
        let change = ImageUpdate {
            disk_format: Some(Some(found.disk_format)),
            container_format: found.container_format.map(Some),
            properties: Some(found.properties.into_iter().map(|(name, value)| (name, Some(value))).collect()),
            other_properties: OtherProperties::DeleteNamed(Vec::new()),
            ..ImageUpdate::default()
        };
        let changed = rows::update(&self.db, &image.id, change, Some(&[Status::Queued.as_str()])).await;
        changed.map_err(|error| Error::of_change(&image.id, error))?;
        self.announce(&image, Change::Updated);
        Ok(())
    }

    /// Nothing is left to look at.
    pub(crate) async fn end_making(&self, making: Making) {
        self.finish_entry(making.entry).await;
    }

    /// Leaves the task to recovery, which ends it with this message.
    pub(crate) async fn leave_making(&self, making: Making, message: &str) {
        self.leave_entry(making.entry, message.to_owned()).await;
    }

    /// Removes an image that got no data. False: its data is being written or taken back, or is there after all, which recovery sees.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn unmake(&self, image_id: &str) -> Result<bool, Error> {
        let Some(record) = rows::get(&self.db, image_id, false).await? else { return Ok(true) };
        let image = Image::from_record(record, None);
        match image.status {
            Status::Queued => {}
            Status::Saving | Status::Active | Status::Deactivated => return Ok(false),
            // Somebody else has given it data.
            _ => return Ok(true),
        }
        let (to, from) = (Status::Deleted.as_str(), [Status::Queued.as_str()]);
        // With a location that somebody has told meanwhile, and that was refused.
        match rows::delete(&self.db, image_id, to, Some(&from)).await {
            Ok(()) => {
                self.announce(&image, Change::Deleted);
                Ok(true)
            }
            Err(DbError::NotFound { .. }) => Ok(true),
            Err(DbError::StateConflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The image, once its upload is over: that has an entry of its own, which is taken up at the same time.
    async fn look_at_made(&self, image_id: &str) -> Result<Option<ImageAndOwner>, Error> {
        for _ in 0..LOOKS {
            let found = rows::with_owner(&self.db, image_id).await?;
            if found.as_ref().is_none_or(|found| Status::from(&found.image) != Status::Saving) {
                return Ok(found);
            }
            sleep(LOOK).await;
        }
        Ok(rows::with_owner(&self.db, image_id).await?)
    }

    /// Ends what an entry of the intent log has left of a task that made an image. False: the entry stays.
    pub(in crate::image) async fn recover_making(&self, record: &Record, work: &Work) -> Result<bool, Error> {
        let task_id = work.token.task_id();
        let found = self.look_at_made(&record.image_id).await?;
        let status = found.as_ref().filter(|found| !found.image.deleted).map(|found| Status::from(&found.image));
        if status == Some(Status::Saving) {
            return Ok(false);
        }
        for file in record.places.iter().filter_map(|place| place.strip_prefix("file://")) {
            remove(Path::new(file)).await?;
        }
        let Some(task) = tasks::get_current(&self.db, task_id).await? else {
            return self.unmake(&record.image_id).await;
        };
        let is_made = matches!(status, Some(Status::Active | Status::Deactivated));
        let has_succeeded = TaskStatus::from(&task) == TaskStatus::Success;
        if !is_made && !has_succeeded && !self.unmake(&record.image_id).await? {
            return Ok(false);
        }
        // A task goes through all of its states.
        let begun = TaskStatus::Processing.step(task_id, &[TaskStatus::Pending]);
        let outcome = if is_made { TaskStatus::Success } else { TaskStatus::Failure };
        let ended = TaskStep {
            result: is_made.then(|| serde_json::json!({"image_id": record.image_id})),
            message: (!is_made).then(|| work.reason.clone().unwrap_or_else(|| DIED.to_owned())),
            expires_at: Some(clock::now() + self.options.task_time_to_live),
            ..outcome.step(task_id, &[TaskStatus::Processing])
        };
        for step in [begun, ended] {
            match tasks::take_step(&self.db, step).await {
                // It is further, or has ended.
                Ok(()) | Err(DbError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        info!(image_id = record.image_id, task_id, "the import task of a dead worker was ended");
        Ok(true)
    }
}

async fn remove(file: &Path) -> Result<(), Error> {
    match tokio::fs::remove_file(file).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { doing: format!("removing {}", file.display()), source }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::causes::ErrorWithCauses;

    #[tokio::test]
    async fn a_file_that_cannot_be_removed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        remove(&folder.path().join("none")).await.unwrap();
        let error = remove(folder.path()).await.unwrap_err();
        let told = ErrorWithCauses(&error).to_string();
        assert!(told.starts_with(&format!("removing {}: ", folder.path().display())), "{told}");
    }
}
