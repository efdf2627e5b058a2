//! Getting an image for a task alone.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use super::LOCK;
use crate::db::DbError;
use crate::db::images::{self, delete_property_atomic};
use crate::db::tasks::{self as rows, NewTask, TaskLock};
use crate::identity::Context;
use crate::image::intent_log::{Entry, Intent, Token};
use crate::image::transitions::{Outcome, outcome};
use crate::image::{Error, Image, Images, Status};
use crate::store::{StoreEntry, StoreError};

/// What an import is to do.
pub(crate) struct Plan {
    /// As it was when the import was asked for; once that has begun, as it was then.
    pub(crate) image: Image,
    pub(crate) task_id: String,
    /// Ids of the stores to write to; empty in a single-store cloud.
    pub(crate) stores: Vec<String>,
    /// Whether the import fails when one of the stores does.
    pub(crate) needs_all: bool,
    /// Data of an active image goes into more stores.
    pub(crate) is_copy: bool,
    /// The caller's project, whose storage counts.
    pub(crate) project: Option<String>,
    /// Who asked for it.
    pub(crate) caller: Arc<Context>,
    /// What import plugins have made of the data.
    pub(crate) transformed: Transformed,
}

/// What import plugins say of the data and the image; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transformed {
    /// The data in the staging area is not what the client has sent.
    pub(crate) is_changed: bool,
    /// The file with the data where it is not the one that was staged.
    pub(crate) path: Option<PathBuf>,
    pub(crate) disk_format: Option<String>,
    pub(crate) container_format: Option<String>,
    /// Bytes of the disk inside.
    pub(crate) virtual_size: Option<u64>,
    /// Custom properties that are still to be set, whatever becomes of the data.
    pub(crate) properties: Vec<(String, String)>,
    /// Custom properties that come with the data, from another service.
    pub(crate) copied: Vec<(String, String)>,
}

impl Transformed {
    /// Custom properties that the image gets with the end of its import.
    pub(crate) fn added(&self) -> Vec<(String, String)> {
        [&self.copied[..], &self.properties].concat()
    }
}

/// An image that a task of this worker has for itself. Dropped, it is left to recovery.
pub(crate) struct Hold {
    pub(super) token: Token,
    pub(super) entry: Entry,
}

impl Images {
    /// Registers a task that has the image for itself.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another task has it, or its data is being written; [`Error::NotFound`].
    pub(crate) async fn hold(&self, plan: &Plan, task: NewTask) -> Result<Hold, Error> {
        let mut places = Vec::new();
        for entry in self.entries(&plan.stores)? {
            match entry.store.candidates(&plan.image.id).await {
                Ok(urls) => places.extend(urls),
                Err(error) if plan.needs_all => return Err(error.into()),
                // It hardly takes the data. Where it does after all, recovery asks it for the place.
                Err(error) => warn!(image_id = plan.image.id, store = entry.id, %error, "a store of an import is away"),
            }
        }
        self.hold_with(&plan.image, task, places).await
    }

    /// As [`Images::hold`], where a crash may leave data at these places.
    pub(super) async fn hold_with(&self, image: &Image, task: NewTask, places: Vec<String>) -> Result<Hold, Error> {
        let (id, token) = (&image.id, Token::of_task(&task.id));
        // While data is staged its owner is the one who stages; in other statuses it is somebody who has died.
        let takes_over = image.status != Status::Uploading;
        let status = image.status.as_str().to_owned();
        let lock = TaskLock { image: id.clone(), property: LOCK, status, takes_over };
        let busy = || {
            let text =
                format!("New operation on image '{id}' is not permitted as prior operation is still in progress");
            Error::Conflict(text)
        };
        let locking = async {
            match rows::create_locked(&self.db, task, lock).await {
                Err(DbError::Duplicate { .. }) => Outcome::Refused(busy()),
                created => outcome(created, |error| match error {
                    DbError::NotFound { .. } => Error::NotFound(id.clone()),
                    _ => busy(),
                }),
            }
        };
        let entry = self.begin(Intent::Import, id, &token, places, locking).await?;
        Ok(Hold { token, entry })
    }

    /// The image is everybody's again, or gone; nothing is left to look at.
    pub(crate) async fn let_go(&self, hold: Hold) {
        self.finish_entry(hold.entry).await;
    }

    /// Leaves the image to recovery, which ends the task with this message.
    pub(crate) async fn leave(&self, hold: Hold, message: &str) {
        self.leave_entry(hold.entry, message.to_owned()).await;
    }

    /// Whether nobody can have the image any more.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn is_deleted(&self, image_id: &str) -> Result<bool, Error> {
        Ok(images::with_owner(&self.db, image_id).await?.is_none_or(|found| found.image.deleted))
    }

    /// Whether an image that is there is not the task's any more, nor that of another host which ends the task: somebody else gives it, or
    /// has given it, data.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn is_overtaken(&self, image_id: &str, task_id: &str) -> Result<bool, Error> {
        let found = images::with_owner(&self.db, image_id).await?;
        let is_own = |owner: &str| Token::of_task(task_id).is_or_precedes(owner);
        Ok(found.is_some_and(|found| !found.image.deleted && !found.owner.as_deref().is_some_and(is_own)))
    }

    /// Frees an image of the task that has it; false if that does not have it any more.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn unlock(&self, image_id: &str, task_id: &str) -> Result<bool, Error> {
        match delete_property_atomic(&self.db, image_id, LOCK, task_id).await {
            Ok(()) => Ok(true),
            Err(DbError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The stores to write to.
    ///
    /// # Errors
    /// `UnknownStore`
    pub(super) fn entries(&self, ids: &[String]) -> Result<Vec<&StoreEntry>, StoreError> {
        if ids.is_empty() && !self.stores.is_multi() {
            return Ok(vec![self.stores.default_store()]);
        }
        ids.iter().map(|id| self.stores.get(id)).collect()
    }
}
