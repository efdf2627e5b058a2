//! Ending the imports of workers that died: at once by an entry of this machine's intent log, and for other machines when the row of a
//! task was not renewed for a while.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::db::DbError;
use crate::db::images::{self as rows, ImageAndOwner};
use crate::db::tasks::{self, TaskRecord, TaskStep, TaskViewer};
use crate::image::intent_log::{Intent, Record, Token, Work};
use crate::image::{Error, Image, Images, Status};

/// How long after its last renewal the row of a task says that its worker has died. A worker renews it several times meanwhile, and
/// the clocks of hosts may differ by most of it.
pub const LEASE: Duration = Duration::from_secs(75);

/// Tasks of dead workers that are looked at in one go.
const BATCH: u64 = 100;

/// What a task says that was ended so.
const DIED: &str = "The service ended while it worked on this task. Nothing was kept; the image can be imported again.";
const NEVER_BEGUN: &str = "The service ended before it began this task. The image can be imported again.";

/// The kind of tasks that look at locations.
const LOCATION: &str = "location_import";

/// The statuses in which a task still has a worker, or should have.
const UNFINISHED: [&str; 2] = ["pending", "processing"];

impl Images {
    /// Ends what an entry of the intent log has left of an import. False: the entry stays.
    pub(in crate::image) async fn reclaim(&self, record: &Record, work: &Work) -> Result<bool, Error> {
        let task_id = work.token.task_id();
        let everybody = TaskViewer { is_admin: true, project: None };
        let task = tasks::get(&self.db, task_id, &everybody).await?;
        let with_owner = rows::with_owner(&self.db, &record.image_id).await?;
        let owner = with_owner.as_ref().and_then(|found| found.owner.as_deref());
        let is_own = owner.is_some_and(|owner| work.token.is_or_precedes(owner));
        // The worker may have died after the image became active, and before its staged data was removed.
        let has_data = |found: &ImageAndOwner| matches!(found.image.status.as_str(), "active" | "deactivated");
        if is_direct(task.as_ref()) && with_owner.as_ref().is_some_and(has_data) {
            self.remove_staged(&record.image_id).await?;
        }
        if !is_own && with_owner.as_ref().is_some_and(|found| !found.image.deleted) {
            // Somebody else has the image, or nobody has any more: only the task may still be open.
            self.end_task(task.as_ref(), None).await?;
            self.unlock(&record.image_id, task_id).await?;
            return Ok(true);
        }
        self.remove_unknown(record, with_owner.as_ref()).await?;
        let token = owner.filter(|_| is_own).map_or_else(|| work.token.clone(), Token::of_row);
        self.end(record.image_id.as_str(), task.as_ref(), with_owner, &token, true).await?;
        info!(image_id = record.image_id, task_id, "the import of a dead worker was ended");
        Ok(true)
    }

    /// Ends the imports of other hosts' workers that have died. `held`: tasks that this worker has.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn reclaim_from_others(&self, held: &[String]) -> Result<(), Error> {
        let before = now() - LEASE;
        for task in tasks::unfinished_since(&self.db, before, BATCH).await? {
            if held.contains(&task.id) {
                continue;
            }
            let id = task.id.clone();
            if let Err(error) = self.reclaim_from_other(&task).await {
                warn!(
                    task_id = id,
                    error = &error as &dyn std::error::Error,
                    "cannot end the import of a dead worker yet"
                );
            }
        }
        Ok(())
    }

    async fn reclaim_from_other(&self, task: &TaskRecord) -> Result<(), Error> {
        let Some(image_id) = task.image_id.as_deref() else { return Ok(()) };
        let token = Token::of_task(&task.id);
        let (intent_log, own) = (Arc::clone(&self.intent_log), token.clone());
        // A worker of this machine cannot reach the database, or recovery will see to what it has left.
        if spawn_blocking(move || intent_log.has(&own)).await.map_err(Error::Interrupted)? {
            return Ok(());
        }
        let Some(found) = rows::with_owner(&self.db, image_id).await? else { return Ok(()) };
        // Upstream's server has tasks too, which it does not renew; theirs own no data.
        let Some(owner) = found.owner.as_deref().filter(|owner| token.is_or_precedes(owner)) else { return Ok(()) };
        // Before the image is taken, since a store that does not answer must not leave it with a token that nobody works for.
        let mut places = Vec::new();
        // A location that was told is no data of ours.
        if task.kind != LOCATION {
            for entry in self.targets(&self.configured(stores_of(Some(task))))? {
                places.extend(entry.store.candidates(image_id).await?);
            }
        }
        let token = token.successor();
        let found = if found.image.deleted {
            found
        } else {
            match rows::take_over(&self.db, image_id, &[found.image.status.as_str()], owner, token.as_str()).await {
                Ok(()) => {}
                Err(DbError::StateConflict { .. } | DbError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            // Its locations may have changed since.
            let Some(found) = rows::with_owner(&self.db, image_id).await? else { return Ok(()) };
            found
        };
        let work = Work { intent: Intent::Import, token: token.clone(), host: String::new() };
        let record = Record { image_id: image_id.to_owned(), work: Some(work), places };
        self.remove_unknown(&record, Some(&found)).await?;
        self.end(image_id, Some(task), Some(found), &token, false).await?;
        info!(image_id, task_id = task.id, "the import of a dead worker of another host was ended");
        Ok(())
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

    /// The task fails, and the image is everybody's again.
    async fn end(
        &self,
        image_id: &str,
        task: Option<&TaskRecord>,
        found: Option<ImageAndOwner>,
        token: &Token,
        is_this_machine: bool,
    ) -> Result<(), Error> {
        let live = found.filter(|found| !found.image.deleted).map(|found| Image::from_record(found.image, None));
        let Some(image) = live else { return self.end_task(task, None).await };
        let is_staged = is_this_machine && self.is_staged_here(image_id).await && is_direct(task);
        let back = if is_staged { Status::Uploading } else { Status::Queued };
        let step = self.step_of_reclaim(&image, &stores_of(task), back, token, is_this_machine);
        match task.filter(|task| UNFINISHED.contains(&task.status.as_str())) {
            Some(task) => self.end_task(Some(task), Some(step)).await,
            // The row of the task is gone, or was ended by hand: the image must not stay as it is.
            None => {
                let from: Vec<&str> = step.from.iter().map(String::as_str).collect();
                rows::give_back(&self.db, image_id, step.change, &from, token.as_str()).await?;
                self.unlock(image_id, token.task_id()).await.map(drop)
            }
        }
    }

    async fn end_task(&self, task: Option<&TaskRecord>, image: Option<tasks::ImageStep>) -> Result<(), Error> {
        let Some(task) = task.filter(|task| UNFINISHED.contains(&task.status.as_str())) else { return Ok(()) };
        let step = TaskStep {
            task: task.id.clone(),
            from: UNFINISHED.to_vec(),
            to: "failure",
            result: None,
            message: Some(if task.status == "pending" { NEVER_BEGUN } else { DIED }.to_owned()),
            expires_at: Some(now() + self.options.task_time_to_live),
            image,
        };
        match tasks::take_step(&self.db, step).await {
            // It was ended meanwhile.
            Err(DbError::NotFound { what: "task", .. }) => Ok(()),
            outcome => Ok(outcome?),
        }
    }
}

/// The stores that a task was to write to.
fn stores_of(task: Option<&TaskRecord>) -> Vec<String> {
    let stores = task.and_then(|task| task.input.as_ref()?.get("backend")?.as_array());
    stores.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a task imports what was staged.
fn is_direct(task: Option<&TaskRecord>) -> bool {
    let method = task.and_then(|task| task.input.as_ref()?.pointer("/import_req/method/name")?.as_str());
    method == Some("glance-direct")
}

fn now() -> PrimitiveDateTime {
    let now = OffsetDateTime::now_utc();
    PrimitiveDateTime::new(now.date(), now.time())
}
