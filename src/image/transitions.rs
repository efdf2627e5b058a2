//! The steps of an image's row while its data is written, `queued` → `saving` → `active` or back to `queued`, and when it is removed.
//!
//! Each is one transaction that asks for the status from which it starts, so that of two rivals one wins; the first makes the caller's
//! token the owner of the data, the others ask for it. What becomes of the data depends on how a step ended, and there are
//! three ways: an answer that was lost says nothing about the row. Then it is looked at once; if that does not tell either, the
//! outcome stays unknown and nothing may be undone.

use std::time::Duration;

use serde_json::Map;
use tokio::time::timeout;
use tracing::warn;

use super::Error;
use super::images::Images;
use super::intent_log::{Entry, Intent, Token};
use super::model::Image;
use super::status::Status;
use crate::db::DbError;
use crate::db::images::{self as rows, ImageAndOwner};
use crate::db::locations;
use crate::db::model::{ImageUpdate, LocationRecord, OtherProperties};
use crate::db::reserved::{LOCK, STAGE_HOST};
use crate::db::tasks::{self, TakeOver};
use crate::notifications::{Change, Subject};
use crate::store::Hashes;
use crate::sys::crash_point::crash_point;

/// How long a client waits for a look at a row whose last change had no answer.
const LOOK: Duration = Duration::from_secs(10);

/// How a step of an image's row ended.
#[derive(Debug)]
#[must_use = "what becomes of the data depends on it"]
pub(super) enum Outcome {
    /// The row has taken the step.
    Done,
    /// It has not, and will not.
    Refused(Error),
    /// It may have, or may yet: the answer to the commit was lost or did not come in time.
    Unknown(DbError),
}

/// What a row learns about its data when that is complete.
pub(super) struct Facts {
    /// Bytes.
    pub(super) size: u64,
    /// Bytes of the disk inside; `None` leaves the row's as it is.
    pub(super) virtual_size: Option<u64>,
    /// `None` leaves the row's as they are.
    pub(super) hashes: Option<Hashes>,
    pub(super) locations: Vec<LocationRecord>,
}

/// An image that was taken from a worker that died.
pub(super) struct Taken {
    /// As it is by now.
    pub(super) found: ImageAndOwner,
    /// The owner of its data.
    pub(super) token: Token,
}

impl Images {
    /// Begins work on an image's data: first the intent log says what will be done, then the image's row takes its first step. The entry
    /// is to be finished when the work is.
    ///
    /// # Errors
    /// [`Error::IntentLog`], or why the step was refused. When nobody knows whether it was taken, the entry stays, and recovery looks.
    pub(super) async fn begin(
        &self,
        intent: Intent,
        image_id: &str,
        token: &Token,
        places: Vec<String>,
        step: impl Future<Output = Outcome>,
    ) -> Result<Entry, Error> {
        let entry = self.begin_entry(intent, image_id, token, places).await?;
        crash_point("work.noted");
        match step.await {
            Outcome::Done => {
                crash_point("work.claimed");
                Ok(entry)
            }
            Outcome::Refused(error) => {
                self.finish_entry(entry).await;
                Err(error)
            }
            Outcome::Unknown(error) => Err(error.into()),
        }
    }

    /// Takes an image from a task whose worker has died, before anything of it is removed: from then on nobody else can claim it, since
    /// it is `importing`, or locked for the task with an owner of its data. One with staged data stays as it is, so that whoever ends this,
    /// be it after a crash, leaves the staged data alone. It is read again then, as it may have changed since it was `found`.
    /// `None`: it has changed in a way that makes it somebody else's.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn take_over(&self, mut found: ImageAndOwner, task_id: &str) -> Result<Option<Taken>, Error> {
        let token = self.intent_log.successor(&Token::of_task(task_id));
        if found.image.deleted {
            // It is nobody's any more, and comes back only with the locations that it had, and locked for the task. What lies there is the
            // deletion's to remove, or to leave where a store refuses.
            let had = locations::gone_with(&self.db, &found.image.id).await?.into_iter();
            found.image.locations = had.map(|url| LocationRecord::active(url, Map::new())).collect();
            return Ok(Some(Taken { found, token }));
        }
        let id = found.image.id.clone();
        let is_claimable = Status::from(&found.image) == Status::Queued;
        let step = TakeOver {
            image: id.clone(),
            from: found.image.status,
            former: found.owner,
            to: is_claimable.then(|| Status::Importing.as_str().to_owned()),
            token: token.as_str().to_owned(),
            task: task_id.to_owned(),
            property: LOCK,
        };
        match tasks::take_over(&self.db, step).await {
            Ok(()) => {}
            Err(DbError::StateConflict { .. } | DbError::NotFound { .. } | DbError::Duplicate { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let found = rows::with_owner(&self.db, &id).await?;
        Ok(found.filter(|found| found.owner.as_deref() == Some(token.as_str())).map(|found| Taken { found, token }))
    }

    /// `queued` → the status in which data is written; the token owns the data then.
    pub(super) async fn claim(&self, image: &Image, writing: Status, token: &Token) -> Outcome {
        let change = to(writing);
        let taken = rows::take(&self.db, &image.id, change, &[Status::Queued.as_str()], token.as_str()).await;
        let outcome = outcome(taken, |error| Error::of_change(&image.id, error));
        self.look_if_unknown(outcome, image, |with_owner| owns(with_owner, token)).await
    }

    /// `saving` → `active`, with all that is known about the data.
    pub(super) async fn activate(&self, image: &Image, token: &Token, facts: Facts) -> Outcome {
        let urls: Vec<String> = facts.locations.iter().map(|location| location.url.clone()).collect();
        let change = ImageUpdate {
            size: Some(i64::try_from(facts.size).ok()),
            virtual_size: facts.virtual_size.map(|size| i64::try_from(size).ok()),
            locations: Some(facts.locations),
            // Those by which the data was judged, as upstream saves the whole image: a client may have changed them since.
            disk_format: Some(image.disk_format.clone()),
            container_format: Some(image.container_format.clone()),
            ..with_hashes(to(Status::Active), facts.hashes)
        };
        let given = rows::give_back(&self.db, &image.id, change, &[Status::Saving.as_str()], token.as_str()).await;
        let outcome = outcome(given, |_| Error::Gone(image.id.clone()));
        let is_active = |with_owner: &ImageAndOwner| {
            let known = &with_owner.image.locations;
            !owns(with_owner, token) && urls.iter().all(|url| known.iter().any(|location| location.url == *url))
        };
        self.look_if_unknown(outcome, image, is_active).await
    }

    /// Staged: the image stays `uploading`, and nobody owns its data any more. `host`: where others reach the worker that has it.
    pub(super) async fn keep_staged(&self, image: &Image, token: &Token, size: u64, host: Option<&str>) -> Outcome {
        let host = host.map(|host| vec![(STAGE_HOST.to_owned(), Some(host.to_owned()))]);
        let change = ImageUpdate {
            size: Some(i64::try_from(size).ok()),
            properties: host,
            other_properties: OtherProperties::DeleteNamed(Vec::new()),
            ..ImageUpdate::default()
        };
        let given = rows::give_back(&self.db, &image.id, change, &[Status::Uploading.as_str()], token.as_str()).await;
        let outcome = outcome(given, |_| Error::NotFound(image.id.clone()));
        let is_kept = |with_owner: &ImageAndOwner| {
            !owns(with_owner, token) && Status::from(&with_owner.image) == Status::Uploading
        };
        self.look_if_unknown(outcome, image, is_kept).await
    }

    /// Deletes the image for good; the token owns what is left of the data then. Refused with [`DbError::LocationsChanged`] if the
    /// image's locations are others by now than these.
    pub(super) async fn erase(&self, image: &Image, locations: &[LocationRecord], token: &Token) -> Outcome {
        let (from, to) = ([image.status.as_str()], Status::Deleted.as_str());
        let deleted = rows::delete_and_take(&self.db, &image.id, to, &from, locations, token.as_str()).await;
        let outcome = outcome(deleted, |error| Error::of_change(&image.id, error));
        let is_own = |with_owner: &ImageAndOwner| {
            with_owner.image.deleted && with_owner.owner.as_deref() == Some(token.as_str())
        };
        self.look_if_unknown(outcome, image, is_own).await
    }

    /// Back to `queued` from a status in which data is written, if `token` owns the data. True when the row is there, or has gone another
    /// way; what is not known is left to recovery. Listeners are told of a step that was taken.
    pub(super) async fn release(&self, image: Subject<'_>, from: Status, token: Option<&Token>) -> bool {
        let image_id = image.id;
        let change = ImageUpdate { size: Some(None), virtual_size: Some(None), ..to(Status::Queued) };
        let from = [from.as_str()];
        let given = match token {
            Some(token) => rows::give_back(&self.db, image_id, change, &from, token.as_str()).await,
            None => rows::update(&self.db, image_id, change, Some(&from)).await.map(drop),
        };
        match given {
            Ok(()) => {
                self.announce_of(image, Change::Updated);
                true
            }
            Err(DbError::StateConflict { .. } | DbError::NotFound { .. }) => true,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(image_id, error, "cannot put the image back to queued yet");
                false
            }
        }
    }

    /// Makes an unknown outcome a known one if the row tells in time. The look waits for the transaction in doubt.
    async fn look_if_unknown(
        &self,
        outcome: Outcome,
        image: &Image,
        is_done: impl FnOnce(&ImageAndOwner) -> bool,
    ) -> Outcome {
        let Outcome::Unknown(error) = outcome else { return outcome };
        match timeout(LOOK, rows::with_owner(&self.db, &image.id)).await {
            Ok(Ok(Some(with_owner))) if is_done(&with_owner) => Outcome::Done,
            Ok(Ok(_)) => Outcome::Refused(error.into()),
            Ok(Err(_)) | Err(_) => Outcome::Unknown(error),
        }
    }
}

/// Whether the token owns the data of an image that is not deleted.
fn owns(with_owner: &ImageAndOwner, token: &Token) -> bool {
    !with_owner.image.deleted && with_owner.owner.as_deref() == Some(token.as_str())
}

/// A change that also says which digests the data has.
pub(super) fn with_hashes(change: ImageUpdate, hashes: Option<Hashes>) -> ImageUpdate {
    let Some(Hashes { md5, algorithm, value, .. }) = hashes else { return change };
    ImageUpdate {
        checksum: Some(Some(md5)),
        os_hash_algo: Some(Some(algorithm.name().to_owned())),
        os_hash_value: Some(Some(value)),
        ..change
    }
}

pub(super) fn to(status: Status) -> ImageUpdate {
    ImageUpdate { status: Some(status.as_str().to_owned()), ..ImageUpdate::default() }
}

/// `refusal`: what to say when the row is in another status, or is gone.
pub(super) fn outcome(step: Result<(), DbError>, refusal: impl FnOnce(DbError) -> Error) -> Outcome {
    match step {
        Ok(()) => Outcome::Done,
        Err(error @ (DbError::StateConflict { .. } | DbError::NotFound { .. })) => Outcome::Refused(refusal(error)),
        Err(error) if error.is_unknown() => Outcome::Unknown(error),
        Err(error) => Outcome::Refused(error.into()),
    }
}
