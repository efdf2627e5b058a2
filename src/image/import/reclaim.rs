//! Ending the imports of workers that died: at once by an entry of this machine's intent log, and for other machines when the lease of
//! a task was not renewed for a while.
//!
//! The order is always the same. The image is taken first, so that nobody else can have it; what is to be removed is read after that;
//! then it is removed, and the image is given back with the end of the task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use super::lease::SILENCE;
use super::task::{TaskKind, TaskStatus};
use crate::db::images::{self as rows, ImageAndOwner};
use crate::db::tasks::{self, TaskRecord, TaskStep};
use crate::db::{DbError, clock, locations};
use crate::image::intent_log::{Intent, Record, Token, Work};
use crate::image::transitions::Taken;
use crate::image::{Error, Image, Images, Status};
use crate::notifications::Change;
use crate::sys::crash_point::crash_point;

/// Leases that are looked at, those renewed last first.
const MOST_LEASES: u64 = 10_000;

/// Tasks that are ended side by side, and how long each is waited for. After that it goes on, but others get their turn: a store that does
/// not answer holds up its own images alone.
const AT_A_TIME: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a task says that was ended so. Its worker may have said more.
const DIED: &str = "The service ended while it worked on this task. Nothing was kept; the image can be imported again.";
const NEVER_BEGUN: &str = "The service ended before it began this task. The image can be imported again.";
/// Of a location that was told: an image that is active keeps it.
const PLACING_DIED: &str = "The service ended while it worked on this task. If the image is active, its location stands and its digests \
                            were not computed; if not, the location can be added again.";
const NEVER_PLACED: &str = "The service ended before it began this task. The location can be added again.";

/// The same for tasks of other hosts, whose worker may live and not reach the database.
const LOST: &str =
    "The host that worked on this task was not heard of any more. Nothing was kept; the image can be imported again.";
const LOST_UNBEGUN: &str =
    "The host that was to begin this task was not heard of any more. The image can be imported again.";
const PLACING_LOST: &str = "The host that worked on this task was not heard of any more. If the image is active, its location stands and \
                            its digests were not computed; if not, the location can be added again.";
const LOST_UNPLACED: &str =
    "The host that was to begin this task was not heard of any more. The location can be added again.";
const NOT_HEARD_OF: &str =
    "The host that worked on this task was not heard of any more. Whether it has made an image is not known here.";

/// Where the worker was that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    /// Its staging area is here.
    This,
    Other,
}

impl Images {
    /// Ends what an entry of the intent log has left of an import. False: the entry stays.
    pub(in crate::image) async fn reclaim(&self, record: &Record, work: &Work) -> Result<bool, Error> {
        let task_id = work.token.task_id();
        let task = tasks::get_current(&self.db, task_id).await?;
        let task = task.as_ref();
        let message = work.reason.as_deref().unwrap_or_else(|| message(task, Machine::This));
        let Some(found) = rows::with_owner(&self.db, &record.image_id).await? else {
            self.remove_unknown(&self.with_all_places(record, task).await?, None).await?;
            self.end_task(task, message, None).await?;
            return Ok(true);
        };
        // The worker may have died after the image became active, and before its staged data was removed.
        let has_data = matches!(Status::from(&found.image), Status::Active | Status::Deactivated);
        let is_own = found.owner.as_deref().is_some_and(|owner| work.token.is_or_precedes(owner));
        if has_data && !is_copy(task) && (is_own || found.owner.is_none()) {
            self.drop_all_staged(&record.image_id).await;
        }
        if Status::from(&found.image) == Status::PendingDelete {
            // Its data is still wanted, and its row names none of it until it is restored or deleted for good.
            self.end_task(task, message, None).await?;
            return Ok(false);
        }
        let is_elsewhere = found.owner.as_deref().is_some_and(|owner| self.intent_log.is_taken_elsewhere(owner));
        if is_own && is_elsewhere && is_unfinished(task) && self.reclaims.may_be_alive(task_id, Instant::now()) {
            // Another machine ends this import, and may remove what a new one would write.
            return Ok(false);
        }
        let is_free = !is_own && !found.image.deleted;
        if is_free {
            self.end_task(task, message, None).await?;
            self.unlock(&record.image_id, task_id).await?;
            if found.owner.is_some() {
                // What the worker has written late, after it lost the image, is looked at when nobody else writes.
                return Ok(false);
            }
        }
        let record = &self.with_all_places(record, task).await?;
        if is_free {
            let is_known = |url: &String| found.image.locations.iter().any(|location| location.url == *url);
            if record.places.iter().all(is_known) {
                return Ok(true);
            }
            // What lies there would be in the way of the next import.
            let is_waiting = matches!(Status::from(&found.image), Status::Queued | Status::Uploading);
            if !has_data && !is_waiting {
                return Ok(false);
            }
        }
        crash_point("reclaim.begun");
        let Some(taken) = self.take_over(found, task_id).await? else { return Ok(false) };
        crash_point("reclaim.taken");
        let removed = match self.remove_unknown(record, Some(&taken.found)).await {
            // The image has its data elsewhere, so that others need not wait for a store that does not answer.
            Err(error) if has_data && !is_own => Err(error),
            removed => Ok(removed?),
        };
        crash_point("reclaim.removed");
        // An import that has ended has said already what became of its stores.
        let stores = if is_own { stores_of(task) } else { Vec::new() };
        self.end(taken, task, message, &stores, Machine::This).await?;
        crash_point("reclaim.ended");
        removed?;
        info!(image_id = record.image_id, task_id, "the import of a dead worker was ended");
        Ok(true)
    }

    /// Ends the imports of other hosts' workers that have died. `held`: tasks that this worker has.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn reclaim_from_others(&self, held: &[String]) -> Result<(), Error> {
        let asked = Instant::now();
        let leases = tasks::leases(&self.db, MOST_LEASES).await?;
        let mut expired = self.reclaims.expired(leases, asked, Instant::now());
        expired.retain(|task| !held.contains(task));
        let end = |task: String| async move {
            let Some(ending) = self.reclaims.begin(&task) else { return };
            let images = self.clone();
            let work = tokio::spawn(async move {
                if let Err(error) = images.reclaim_from_other(&task).await {
                    let error: &dyn std::error::Error = &error;
                    warn!(task_id = task, error, "cannot end the import of a dead worker yet");
                }
                drop(ending);
            });
            if timeout(PATIENCE, work).await.is_err() {
                warn!("ending the import of a dead worker takes long; it goes on while others are looked at");
            }
        };
        stream::iter(expired).for_each_concurrent(AT_A_TIME, end).await;
        Ok(())
    }

    /// The tasks of other hosts that are being ended here.
    pub(crate) fn under_way_for_others(&self) -> Vec<String> {
        self.reclaims.under_way()
    }

    async fn reclaim_from_other(&self, task_id: &str) -> Result<(), Error> {
        let Some(task) = tasks::get_current(&self.db, task_id).await? else { return Ok(()) };
        let message = message(Some(&task), Machine::Other);
        let token = Token::of_task(task_id);
        let (intent_log, own) = (Arc::clone(&self.intent_log), token.clone());
        // A worker of this machine cannot reach the database, or recovery will see to what it has left.
        if spawn_blocking(move || intent_log.has(&own)).await.map_err(Error::Interrupted)? {
            return Ok(());
        }
        if TaskKind::from(&task) == TaskKind::Import {
            // What it has made is known to the intent log of its host alone.
            return self.end_task(Some(&task), message, None).await.map(drop);
        }
        let Some(image_id) = task.image_id.as_deref() else { return Ok(()) };
        let found = rows::with_owner(&self.db, image_id).await?;
        if found.as_ref().is_some_and(|found| Status::from(&found.image) == Status::PendingDelete) {
            return self.end_task(Some(&task), message, None).await.map(drop);
        }
        // Upstream's server has tasks too, which it does not renew; theirs own no data. A deletion or an upload may have taken it from ours.
        let owner = found.as_ref().and_then(|found| found.owner.as_deref());
        let is_own = owner.is_some_and(|owner| token.is_or_precedes(owner));
        let is_gone = found.as_ref().is_none_or(|found| found.image.deleted);
        // Without a message it is none of upstream's (see `Lease`).
        let is_forgotten = is_gone && (task.message.is_none() || clock::now() - task.updated_at >= SILENCE);
        if is_forgotten {
            // While it is being ended it is renewed, and should this attempt fail, the next one must not wait for another day.
            self.reclaims.adopt(task_id);
        }
        if !is_own && !self.reclaims.is_ours(task_id) {
            return Ok(());
        }
        if !is_own && found.as_ref().is_some_and(|found| !may_be_taken(found)) {
            // Somebody else gives it data. The lock first, since nobody looks at a task that has ended.
            self.unlock(image_id, task_id).await?;
            return self.end_task(Some(&task), message, None).await.map(drop);
        }
        // Before the image is taken, since a store that does not answer must not leave it with a token that nobody works for.
        let (stores, mut places) = (stores_of(Some(&task)), Vec::new());
        // A location that was told is no data of ours.
        if TaskKind::from(&task) != TaskKind::LocationImport {
            for entry in self.entries(&self.configured(stores.clone()))? {
                places.extend(entry.store.candidates(image_id).await?);
            }
        }
        let work = Work { intent: Intent::Import, token, host: String::new(), reason: None };
        let record = Record { image_id: image_id.to_owned(), work: Some(work), places };
        let Some(found) = found else {
            // Purged long after it was deleted.
            self.remove_unknown(&record, None).await?;
            return self.end_task(Some(&task), message, None).await.map(drop);
        };
        let Some(taken) = self.take_over(found, task_id).await? else { return Ok(()) };
        self.remove_unknown(&record, Some(&taken.found)).await?;
        self.end(taken, Some(&task), message, &stores, Machine::Other).await?;
        info!(image_id, task_id, "the import of a dead worker of another host was ended");
        Ok(())
    }

    /// The entry with all places where its task may have written: those of a store that was away when it was made are not in it.
    async fn with_all_places(&self, record: &Record, task: Option<&TaskRecord>) -> Result<Record, Error> {
        let mut record = record.clone();
        // An import that needs all of its stores is not begun without one of them.
        if is_one_enough(task) {
            for entry in self.entries(&self.configured(stores_of(task)))? {
                record.places.extend(entry.store.candidates(&record.image_id).await?);
            }
            record.places.sort_unstable();
            record.places.dedup();
        }
        Ok(record)
    }

    /// Of these stores those that still are in the configuration; nothing can be removed from others.
    fn configured(&self, mut stores: Vec<String>) -> Vec<String> {
        stores.retain(|id| {
            let is_known = self.stores.get(id).is_ok();
            if !is_known {
                warn!(store = id, "what a dead worker has left in a store that is not configured any more stays there");
            }
            is_known
        });
        stores
    }

    /// The task fails, and the image is everybody's again. `stores`: those to which the import was still to write.
    async fn end(
        &self,
        taken: Taken,
        task: Option<&TaskRecord>,
        message: &str,
        stores: &[String],
        machine: Machine,
    ) -> Result<(), Error> {
        let Taken { found: ImageAndOwner { image, .. }, token } = taken;
        if image.deleted {
            if machine == Machine::This {
                self.drop_all_staged(&image.id).await;
            }
            // Whoever restores the image must not find it locked. Until now it would have been, so that nobody can have written to it; and
            // before the task, since nobody looks at one that has ended.
            self.unlock(&image.id, token.task_id()).await?;
            return self.end_task(task, message, None).await.map(drop);
        }
        let image = Image::from_record(image, None);
        let keeps = is_direct(task) && self.has_good_data(&image, task, machine).await;
        let back = match keeps {
            true => Some(Status::Uploading),
            false if is_told(task, &image) => None,
            false => Some(Status::Queued),
        };
        if machine == Machine::This && image.status == Status::Importing {
            // While nobody can stage anew.
            if keeps {
                self.drop_made(&image.id).await;
            } else {
                self.drop_all_staged(&image.id).await;
            }
        }
        let host = self.options.self_url.as_deref().filter(|_| machine == Machine::This);
        let step = self.step_of_reclaim(&image, stores, back, &token, host);
        if !self.end_task(task, message, Some(step.clone())).await? {
            // The row of the task is gone, or has ended: the image must not stay as it is.
            let from: Vec<&str> = step.from.iter().map(String::as_str).collect();
            // First, while the token still keeps others away who would write such rows of their own.
            locations::drop_placeholders(&self.db, &image.id).await?;
            rows::give_back(&self.db, &image.id, step.change, &from, token.as_str()).await?;
            self.unlock(&image.id, token.task_id()).await?;
        }
        self.announce(&image, Change::Updated);
        Ok(())
    }

    /// Whether the staged data of an image is what its client has sent, so that it can be imported again.
    async fn has_good_data(&self, image: &Image, task: Option<&TaskRecord>, machine: Machine) -> bool {
        match machine {
            // A plugin may have put something else in its place.
            Machine::This => {
                let staged = self.staged_length(&image.id).await.and_then(|length| i64::try_from(length).ok());
                staged.is_some() && staged == image.size
            }
            // An import that has not begun has touched nothing, and the image says which host has its data.
            Machine::Other => task.is_some_and(|task| TaskStatus::from(task) == TaskStatus::Pending),
        }
    }

    /// The task fails, together with a step of its image. False: it had ended, and nothing was done.
    async fn end_task(
        &self,
        task: Option<&TaskRecord>,
        message: &str,
        image: Option<tasks::ImageStep>,
    ) -> Result<bool, Error> {
        let Some(task) = task.filter(|task| is_unfinished(Some(task))) else { return Ok(false) };
        let step = TaskStep {
            message: Some(message.to_owned()),
            expires_at: Some(clock::now() + self.options.task_time_to_live),
            image,
            ..TaskStatus::Failure.step(&task.id, &TaskStatus::UNFINISHED)
        };
        match tasks::take_step(&self.db, step).await {
            // It was ended meanwhile.
            Err(DbError::NotFound { what: "task", .. }) => Ok(false),
            outcome => Ok(outcome.map(|()| true)?),
        }
    }
}

/// Whether the image of a task that does not own its data any more can be taken all the same: nobody owns it, or it is deleted.
fn may_be_taken(found: &ImageAndOwner) -> bool {
    let writes_unknown = Status::from(&found.image) == Status::Saving;
    found.image.deleted || (found.owner.is_none() && !writes_unknown)
}

/// Why a task has failed that lost its worker.
fn message(task: Option<&TaskRecord>, machine: Machine) -> &'static str {
    task.map_or(DIED, |task| message_of(task.into(), task.into(), machine))
}

fn message_of(kind: TaskKind, status: TaskStatus, machine: Machine) -> &'static str {
    match (kind, status, machine) {
        (TaskKind::Import, ..) => NOT_HEARD_OF,
        (TaskKind::LocationImport, TaskStatus::Pending, Machine::This) => NEVER_PLACED,
        (TaskKind::LocationImport, _, Machine::This) => PLACING_DIED,
        (TaskKind::LocationImport, TaskStatus::Pending, Machine::Other) => LOST_UNPLACED,
        (TaskKind::LocationImport, _, Machine::Other) => PLACING_LOST,
        (_, TaskStatus::Pending, Machine::This) => NEVER_BEGUN,
        (_, _, Machine::This) => DIED,
        (_, TaskStatus::Pending, Machine::Other) => LOST_UNBEGUN,
        (_, _, Machine::Other) => LOST,
    }
}

/// The stores that a task was to write to.
fn stores_of(task: Option<&TaskRecord>) -> Vec<String> {
    let stores = task.and_then(|task| task.input.as_ref()?.get("backend")?.as_array());
    stores.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn is_unfinished(task: Option<&TaskRecord>) -> bool {
    task.is_some_and(|task| TaskStatus::UNFINISHED.contains(&task.into()))
}

/// Whether a task copies what an image has already.
fn is_copy(task: Option<&TaskRecord>) -> bool {
    method(task) == Some("copy-image")
}

/// Whether a task looks at a location that was told. Without its row, what stands in the image's tells.
fn is_told(task: Option<&TaskRecord>, image: &Image) -> bool {
    task.map_or(!image.locations.is_empty(), |task| TaskKind::from(task) == TaskKind::LocationImport)
}

/// Whether a task succeeds when one of its stores takes the data.
fn is_one_enough(task: Option<&TaskRecord>) -> bool {
    let needs_all =
        task.and_then(|task| task.input.as_ref()?.pointer("/import_req/all_stores_must_succeed")?.as_bool());
    needs_all == Some(false)
}

/// Whether a task imports what was staged.
fn is_direct(task: Option<&TaskRecord>) -> bool {
    method(task) == Some("glance-direct")
}

fn method(task: Option<&TaskRecord>) -> Option<&str> {
    task?.input.as_ref()?.pointer("/import_req/method/name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_lost_its_worker_says_what_there_is_to_do() {
        let (importing, telling) = ("the image can be imported again", "the location can be added again");
        for (kind, advice) in [(TaskKind::ApiImageImport, importing), (TaskKind::LocationImport, telling)] {
            for status in TaskStatus::UNFINISHED {
                for machine in [Machine::This, Machine::Other] {
                    let text = message_of(kind, status, machine).to_lowercase();
                    let has_begun = status == TaskStatus::Processing;
                    assert!(text.contains(advice), "{kind:?} {status:?} {machine:?}: {text}");
                    let may_stand = has_begun && kind == TaskKind::LocationImport;
                    assert_eq!(text.contains("its location stands"), may_stand, "{text}");
                    assert_eq!(text.contains("service ended"), machine == Machine::This, "{text}");
                }
            }
        }
    }
}
