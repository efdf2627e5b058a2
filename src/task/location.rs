//! The task that looks at data which lies somewhere already, and makes it that of an image (upstream: `add_location` in
//! `glance/api/v2/images.py` and `glance/async_/flows/location_import.py`).

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::import::forget_progress;
use super::model::{TaskKind, TaskStatus};
use super::pool::{Ended, Turn, Work};
use super::tasks::{FAILED, NO_TIME, Tasks, UNREACHED, new_task};
use super::{Asker, Error};
use crate::db::DbError;
use crate::db::model::ImageUpdate;
use crate::db::tasks::{self as rows, TaskStep};
use crate::identity::Context;
use crate::image::{self, ExpectedDigest, HashFault, Hold, Image, LOCK, Placement, Status, hashed};
use crate::store::{Algorithm, Hashes};
use crate::sys::crash_point::crash_point;

/// Before the work begins. Clients look at the image right after their request, and find it as it was, as they do at upstream's server.
const PAUSE: Duration = Duration::from_millis(200);
/// Before data is read once more.
const RETRY: Duration = Duration::from_secs(1);

/// A request to add a location, which has been checked as far as that goes without looking at the place.
pub struct AddedLocation {
    pub image: Image,
    pub url: String,
    /// As the client sent it, for the task's record.
    pub validation: Map<String, Value>,
    pub expected: Option<ExpectedDigest>,
    pub caller: Arc<Context>,
}

/// What a task says whose end could not be written down.
const UNTOLD: &str = "The database did not answer when this task had ended.";

/// Why nothing came of a place.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Place(#[from] image::Error),
    /// The place is good, and the image has no formats.
    #[error("{0}")]
    Unformatted(image::Error, Box<ImageUpdate>),
    #[error("os_hash_value: ({expected}) not matched with actual os_hash_value: ({found})")]
    Digest { expected: String, found: String },
    #[error("Hash calculation failed for image data: {0}")]
    Hash(#[from] HashFault),
    /// The image is gone, or somebody else's.
    #[error("Image has been deleted.")]
    Lost,
    /// The database does not tell; recovery looks.
    #[error("{0}")]
    Unclear(DbError),
}

impl From<DbError> for Refused {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NotFound { .. } | DbError::StateConflict { .. } | DbError::LocationsChanged { .. } => Self::Lost,
            other => Self::Unclear(other),
        }
    }
}

impl Tasks {
    /// Registers the task, and begins it when there is room.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another task has the image, [`Error::Full`].
    pub async fn add_location(&self, added: AddedLocation) -> Result<(), Error> {
        let AddedLocation { mut image, url, validation, expected, caller } = added;
        if let Some(holder) = image.property(LOCK)
            && let Some(former) = self.take_from(&image, holder).await?
        {
            forget_progress(&mut image, &former);
        }
        if !self.pool.has_room() {
            return Err(Error::Full);
        }
        let input = json!({"image_id": image.id, "loc_url": url, "validation_data": validation});
        let task = new_task(TaskKind::LocationImport, &Asker::of(&caller), Some(image.id.clone()), input);
        let task_id = task.id.clone();
        let placement = Placement { image, task_id: task_id.clone(), url, expected, caller };
        let hold = self.images.hold_for_place(&placement, task).await.map_err(Error::Image)?;
        crash_point("place.held");
        info!(task_id, image_id = placement.image.id, "a location was told");
        // Dropped when the queue is full after all, the hold is left to recovery, which ends the task.
        self.pool.submit(&task_id, self.clone().location_work(placement, hold))
    }

    fn location_work(self, placement: Placement, hold: Hold) -> Work {
        Box::new(move |turn| {
            Box::pin(async move {
                match turn {
                    Turn::Begin(stop) => self.begin_placing(placement, hold, stop).await,
                    Turn::Never => self.end_unplaced(placement, hold).await,
                }
            })
        })
    }

    /// Ends a task that was not begun before its worker was stopped.
    async fn end_unplaced(self, placement: Placement, hold: Hold) -> Ended {
        match self.end_unbegun(&placement.task_id, &placement.image, &hold, NO_TIME).await {
            Ok(true) => self.images.let_go(hold).await,
            Ok(false) => self.take_back(&placement, hold, Refused::Lost).await,
            Err(error) => self.leave_unclear(&placement.task_id, hold, &error, NO_TIME).await,
        }
        Ended::Over
    }

    async fn begin_placing(self, placement: Placement, hold: Hold, stop: CancellationToken) -> Ended {
        sleep(PAUSE).await;
        match self.begin(&placement.task_id).await {
            Ok(()) => {
                crash_point("place.begun");
                self.import_location(&placement, hold, stop).await;
            }
            Err(error) if !error.is_unavailable() => self.take_back(&placement, hold, error.into()).await,
            Err(error) => {
                warn!(
                    task_id = placement.task_id,
                    error = &error as &dyn StdError,
                    "the import of a location cannot begin yet"
                );
                return Ended::Unbegun(self.location_work(placement, hold));
            }
        }
        Ended::Over
    }

    async fn import_location(&self, placement: &Placement, hold: Hold, stop: CancellationToken) {
        let task_id = &placement.task_id;
        let outcome = tokio::select! {
            outcome = self.place(placement, &hold) => outcome,
            () = stop.cancelled() => {
                warn!(task_id, "the import of a location was given up");
                return self.images.leave(hold, UNREACHED).await;
            }
        };
        match outcome {
            Ok(()) => {
                self.images.tell_placed(placement);
                self.images.let_go(hold).await;
                info!(task_id, image_id = placement.image.id, "the import of a location has ended well");
            }
            Err(refused) => {
                warn!(task_id, image_id = placement.image.id, "the import of a location has failed: {refused}");
                self.take_back(placement, hold, refused).await;
            }
        }
    }

    /// Makes the place the image's, in the order of upstream's flow.
    async fn place(&self, placement: &Placement, hold: &Hold) -> Result<(), Refused> {
        match (&placement.expected, self.hashing.is_secure) {
            (Some(expected), true) => {
                let located = self.locate(placement, hold, Status::Importing).await?;
                let algorithm = expected.algorithm();
                self.take_place(placement, hold, with_algorithm(located, algorithm), Status::Queued).await?;
                let hashes = self.hash(placement, hold, algorithm).await?;
                if !expected.is_that_of(&hashes) {
                    return Err(Refused::Digest { expected: expected.value().to_owned(), found: hashes.value });
                }
                self.end(placement, hold, hashed(Some(Status::Active), hashes), &[Status::Importing]).await
            }
            (None, true) => {
                let algorithm = self.images.hashing_algorithm().map_err(image::Error::from)?;
                let located = self.locate(placement, hold, Status::Active).await?;
                self.take_place(placement, hold, with_algorithm(located, algorithm), Status::Queued).await?;
                let change = match self.hash(placement, hold, algorithm).await {
                    Ok(hashes) => hashed(None, hashes),
                    // The image has its data; what it is stays unknown.
                    Err(fault @ (HashFault::Broken(_) | HashFault::Missing)) => {
                        warn!(image_id = placement.image.id, "no digest of an image's data: {fault}");
                        ImageUpdate::default()
                    }
                    Err(fault) => return Err(fault.into()),
                };
                self.end(placement, hold, change, &[Status::Active, Status::Deactivated]).await
            }
            (Some(expected), false) => {
                let located = self.locate(placement, hold, Status::Active).await?;
                self.end(placement, hold, expected.told(located), &[Status::Queued]).await
            }
            (None, false) => {
                let located = self.locate(placement, hold, Status::Active).await?;
                self.end(placement, hold, located, &[Status::Queued]).await
            }
        }
    }

    /// Looks at the place, and gives the change that makes it the image's on its way to this status.
    async fn locate(&self, placement: &Placement, hold: &Hold, next: Status) -> Result<ImageUpdate, Refused> {
        let known = self.images.look_at_held(&placement.image.id, hold).await.map_err(|error| match error {
            image::Error::Db(error) => error.into(),
            other => Refused::Place(other),
        })?;
        let known = known.ok_or(Refused::Lost)?;
        let located = self.images.locate(placement, &known);
        let located = self.images.while_held(&placement.image.id, hold, located).await.ok_or(Refused::Lost)??;
        match known.check_transition(next) {
            Ok(()) => Ok(ImageUpdate { status: Some(next.as_str().to_owned()), ..located }),
            Err(error @ image::Error::MissingFormats(_)) => Err(Refused::Unformatted(error, Box::new(located))),
            Err(error) => Err(error.into()),
        }
    }

    async fn hash(&self, placement: &Placement, hold: &Hold, algorithm: Algorithm) -> Result<Hashes, HashFault> {
        let mut attempt = 1;
        loop {
            let headway = self.pool.headway().clone();
            match self.images.hash_place(placement, hold, algorithm, move |bytes| headway.made(bytes)).await {
                Err(fault @ HashFault::Broken(_)) if attempt < self.hashing.attempts => {
                    info!(image_id = placement.image.id, attempt, "an image's data is read once more: {fault}");
                    attempt += 1;
                    sleep(RETRY).await;
                }
                outcome => {
                    crash_point("place.hashed");
                    return outcome;
                }
            }
        }
    }

    /// The place becomes the image's in the middle of the task.
    async fn take_place(
        &self,
        placement: &Placement,
        hold: &Hold,
        change: ImageUpdate,
        from: Status,
    ) -> Result<(), Refused> {
        crash_point("place.located");
        let step = self.images.step_of_place(placement, hold, change, &[from], false);
        self.go_on(&placement.task_id, step).await?;
        crash_point("place.taken");
        Ok(())
    }

    async fn end(
        &self,
        placement: &Placement,
        hold: &Hold,
        change: ImageUpdate,
        from: &[Status],
    ) -> Result<(), Refused> {
        let step = TaskStep {
            result: Some(json!({"image_id": placement.image.id})),
            image: Some(self.images.step_of_place(placement, hold, change, from, true)),
            ..self.step(&placement.task_id, &[TaskStatus::Processing], TaskStatus::Success)
        };
        rows::take_step(&self.db, step).await?;
        crash_point("place.ended");
        Ok(())
    }

    /// The task fails, and the image waits for data as before, be it with a location in the web, or has it without a digest.
    async fn take_back(&self, placement: &Placement, hold: Hold, refused: Refused) {
        let (message, taken_back) = match refused {
            Refused::Unclear(error) => (UNTOLD.to_owned(), Err(error.into())),
            refused => {
                let message = format!("{FAILED}: {refused}");
                let located = match refused {
                    Refused::Unformatted(_, located) if placement.stays() => Some(*located),
                    _ => None,
                };
                let taken_back = self.try_take_back(placement, &hold, located, &message).await;
                (message, taken_back)
            }
        };
        match taken_back {
            Ok(true) => self.images.let_go(hold).await,
            // Recovery looks whether the task has ended.
            Ok(false) => {
                let (task_id, image_id) = (&placement.task_id, &placement.image.id);
                warn!(task_id, image_id, "a task has lost its image to somebody else");
                self.images.leave(hold, &message).await;
            }
            Err(error) => self.leave_unclear(&placement.task_id, hold, &error, &message).await,
        }
    }

    /// `located`: what stays of a place that was not written down yet. False: nothing was done, as by [`Tasks::end_overtaken`].
    async fn try_take_back(
        &self,
        placement: &Placement,
        hold: &Hold,
        located: Option<ImageUpdate>,
        message: &str,
    ) -> Result<bool, image::Error> {
        let Some(known) = self.images.look_at_held(&placement.image.id, hold).await? else {
            if !self.images.is_deleted(&placement.image.id).await? {
                return self.end_overtaken(&placement.task_id, &placement.image.id, message).await;
            }
            return self.fail_freed(&placement.task_id, &placement.image.id, message).await.map(|()| true);
        };
        let (change, locations) = match located {
            Some(located) if known.status == Status::Queued => (located, Vec::new()),
            _ => self.images.unplaced(&known),
        };
        let removal = self.images.begin_removal(placement, &locations).await?;
        crash_point("place.refused");
        let step = TaskStep {
            message: Some(message.to_owned()),
            image: Some(self.images.step_of_place(placement, hold, change, &[known.status], true)),
            ..self.step(&placement.task_id, &TaskStatus::UNFINISHED, TaskStatus::Failure)
        };
        match (rows::take_step(&self.db, step).await, removal) {
            (Ok(()), removal) => {
                crash_point("place.taken_back");
                if let Some(removal) = removal {
                    self.images.remove_unplaced(placement, removal).await;
                }
                crash_point("place.removed");
                Ok(true)
            }
            (Err(error), removal) => {
                if let Some(removal) = removal.filter(|_| !error.is_unknown()) {
                    self.images.cancel_removal(removal).await;
                }
                Err(error.into())
            }
        }
    }
}

fn with_algorithm(change: ImageUpdate, algorithm: Algorithm) -> ImageUpdate {
    ImageUpdate { os_hash_algo: Some(Some(algorithm.name().to_owned())), ..change }
}
