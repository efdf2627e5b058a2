//! The task of an import.

use std::error::Error as StdError;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::failed::Failed;
use super::progress::{Progress, copied};
use super::reporting::Subject;
use super::request::Method;
use super::source;
use crate::db::DbError;
use crate::db::tasks::{self as rows, ImageStep, TaskStep};
use crate::image::{self, Hold, Imported, Plan, Status};
use crate::sys::crash_point::crash_point;
use crate::task::model::TaskStatus;
use crate::task::pool::{Ended, Turn, Work};
use crate::task::tasks::{NO_TIME, TAKEN, Tasks, UNREACHED, unclear};

/// How often an image is looked at whose locations others change.
const ATTEMPTS: u32 = 5;

/// What a task says of an image that is no more.
const DELETED: &str = "Image has been deleted, aborting import.";

/// What a task says whose end could not be written down.
const UNTOLD: &str =
    "The database did not answer when this task had ended. Nothing was kept; the image can be imported again.";

/// What an entry of the intent log says of a store that was left out of an import, and may have something of its data.
const LEFT: &str = "Something of the data may be in a store that failed.";

/// What a task says whose list of stores is empty, or that has copied what was deactivated meanwhile (upstream: `_VerifyImageState`).
const NOWHERE: &str = "None of the uploads finished!";

/// An import that has its image for itself.
pub(super) struct HeldImport {
    pub(super) plan: Plan,
    pub(super) hold: Hold,
    pub(super) method: Method,
}

/// An import as the pool takes it.
pub(super) fn work(tasks: Tasks, import: HeldImport) -> Work {
    Box::new(move |turn| {
        Box::pin(async move {
            match turn {
                Turn::Begin(stop) => begin(tasks, import, stop).await,
                Turn::Never => {
                    end_unbegun(&tasks, import, NO_TIME).await;
                    Ended::Over
                }
            }
        })
    })
}

/// Begins an import. `stop`: the task was ended by somebody else, or soon will be.
async fn begin(tasks: Tasks, import: HeldImport, stop: CancellationToken) -> Ended {
    let task_id = import.plan.task_id.clone();
    let step = tasks.images.step_of_begin(&import.plan, &import.hold);
    match tasks.begin_with(&task_id, Some(step)).await {
        Ok(()) => {
            crash_point("import.begun");
            tasks.images.tell_changed(&import.plan);
            run(tasks, import, stop).await;
        }
        Err(DbError::NotFound { .. } | DbError::StateConflict { .. }) => end_unbegun(&tasks, import, TAKEN).await,
        Err(error) if error.is_unavailable() => {
            warn!(task_id, error = &error as &dyn StdError, "an import cannot begin yet");
            return Ended::Unbegun(work(tasks, import));
        }
        // What the database refuses once it refuses again.
        Err(error) => {
            error!(task_id, error = &error as &dyn StdError, "an import cannot begin");
            let message = format!("The database refused the beginning of this task: {error}");
            end_unbegun(&tasks, import, &message).await;
        }
    }
    Ended::Over
}

/// Ends an import that has not begun. `message`: why, unless its image has other data or is deleted.
async fn end_unbegun(tasks: &Tasks, import: HeldImport, message: &str) {
    let HeldImport { plan, hold, .. } = import;
    match tasks.end_unbegun(&plan.task_id, &plan.image, &hold, message).await {
        Ok(true) => tasks.images.let_go(hold).await,
        Ok(false) => tasks.end_without_image(&plan, hold, None).await,
        Err(error) => tasks.leave_unclear(&plan.task_id, hold, &error, message).await,
    }
}

/// Runs an import that has begun to one of its ends.
async fn run(tasks: Tasks, import: HeldImport, stop: CancellationToken) {
    let HeldImport { mut plan, hold, method } = import;
    let task_id = plan.task_id.clone();
    match tasks.images.look_at_held(&plan.image.id, &hold).await {
        // Clients may have changed it while the import waited.
        Ok(Some(begun)) => plan.image = begun,
        Ok(None) => return tasks.end_without_image(&plan, hold, None).await,
        Err(error) => return tasks.give_back(&plan, hold, &method, Failed::before_data(&plan, &error)).await,
    }
    if let Err(error) = tasks.images.enforce_import(&plan, method == Method::GlanceDirect).await {
        return match error {
            image::Error::OverLimit { .. } => tasks.refuse_import(&plan, hold, &method, error.to_string()).await,
            // Keystone or the database does not answer.
            other => tasks.give_back(&plan, hold, &method, Failed::before_data(&plan, &other)).await,
        };
    }
    let progress = Progress::of(tasks.pool.headway());
    let threads = progress.threads().clone();
    let imported = tokio::select! {
        imported = tasks.bring(&mut plan, &hold, &method, &progress) => Some(imported),
        () = stop.cancelled() => None,
    };
    // What a plugin does late must not meet what others have staged meanwhile.
    threads.close();
    threads.wait().await;
    let Some(imported) = imported else {
        warn!(task_id, image_id = plan.image.id, "an import was given up");
        // Whoever has ended it has the image now, or will have; recovery makes sure.
        return tasks.images.leave(hold, UNREACHED).await;
    };
    crash_point("import.brought");
    match imported {
        Ok(imported) => tasks.succeed(&plan, hold, &method, imported).await,
        Err(failed) => tasks.give_back(&plan, hold, &method, failed).await,
    }
}

impl Tasks {
    /// Reads the data and makes it durable in its stores.
    async fn bring(
        &self,
        plan: &mut Plan,
        hold: &Hold,
        method: &Method,
        progress: &Progress,
    ) -> Result<Imported, Failed> {
        if plan.stores.is_empty() && self.images.has_store_ids() {
            // A copy to no store leaves an active image as it is, and that is all that upstream asks of it.
            return if plan.is_copy { Ok(Imported::default()) } else { Err(Failed::without_data(plan, &NOWHERE)) };
        }
        if !plan.is_copy {
            plan.image.check_formats().map_err(|error| Failed::before_data(plan, &error))?;
        }
        let opened = source::open(&self.images, (&self.web, &self.remote), plan, method).await;
        let source = opened.map_err(|error| Failed::before_stores(plan, &error, error.is_about_data()))?;
        if let Err(error) = self.images.announce_import(plan, source.size).await {
            // It is for the judgement of others alone.
            warn!(task_id = plan.task_id, error = &error as &dyn StdError, "an import cannot announce its size");
        }
        crash_point("import.opened");
        let (task_id, image_id) = (plan.task_id.clone(), plan.image.id.clone());
        let subject = Subject { task_id: &task_id, image_id: &image_id, hold: Some(hold) };
        let size = source.size;
        let transform = self.transform(plan, hold, method, source, progress);
        let transformed = self.reporting(subject, progress, size, transform).await;
        let source = transformed.map_err(|error| Failed::before_stores(plan, &error, error.is_about_data()))?;
        crash_point("import.transformed");
        if let Some(step) = self.images.step_of_placeholders(plan)
            && let Err(error) = self.go_on(&task_id, step).await
        {
            // Whose image it is by now, the end tells.
            warn!(task_id, error = &error as &dyn StdError, "an import cannot write down where its data goes");
        }
        crash_point("import.placed");
        let size = source.size;
        let pour = self.images.pour_import(plan, hold, size, progress.count(source.data));
        let poured = self.reporting(subject, progress, size, pour).await;
        // As at upstream, where what has brought the data, or has converted it, takes that back once a store fails.
        let blames_all = method.is_download() || (self.plugins.convert() && !plan.is_copy);
        poured.map_err(|fault| Failed::of(fault, plan, blames_all))
    }

    /// The data is there: so says the image's row, unless it is gone.
    async fn succeed(&self, plan: &Plan, hold: Hold, method: &Method, imported: Imported) {
        let task_id = &plan.task_id;
        for _ in 0..ATTEMPTS {
            let known = match self.images.look_at_held(&plan.image.id, &hold).await {
                Ok(Some(known)) => known,
                Ok(None) => break,
                Err(error) => return self.leave_unclear(task_id, hold, &error, UNTOLD).await,
            };
            if plan.is_copy && known.status != Status::Active {
                let failed = Failed::without_data(plan, &NOWHERE);
                return self.take_back_import(plan, hold, method, &imported, failed).await;
            }
            // What has come since the data was poured. A copy is spared: the image has its data already.
            if !plan.is_copy && known.is_signed_with(&plan.transformed.added()) {
                let unverified = image::Error::SignatureUnverified(plan.image.id.clone());
                let failed = Failed::without_data(plan, &unverified);
                return self.take_back_import(plan, hold, method, &imported, failed).await;
            }
            let step = self.images.step_of_success(plan, &hold, &known, &imported);
            let result = serde_json::json!({"image_id": plan.image.id});
            let step = TaskStep {
                result: Some(result),
                // As upstream leaves it.
                message: (!imported.locations.is_empty()).then(|| copied(imported.size)),
                image: Some(step),
                ..self.step(task_id, &[TaskStatus::Processing], TaskStatus::Success)
            };
            match rows::take_step(&self.db, step).await {
                Ok(()) => {
                    crash_point("import.succeeded");
                    self.images.tell_imported(plan, &imported);
                    if *method == Method::GlanceDirect || plan.transformed.is_changed {
                        self.images.drop_staged(plan).await;
                    }
                    crash_point("import.unstaged");
                    info!(task_id, image_id = plan.image.id, bytes = imported.size, "an import has ended well");
                    return self.part_with(hold, Some(&imported)).await;
                }
                Err(DbError::LocationsChanged { .. } | DbError::StateConflict { .. }) => {}
                Err(DbError::NotFound { .. }) => break,
                Err(error) if error.is_unavailable() => return self.leave_unclear(task_id, hold, &error, UNTOLD).await,
                // What the database refuses once it refuses again.
                Err(error) => {
                    let message = format!("The database refused the end of this task: {error}");
                    let failed = Failed::before_stores(plan, &message, false);
                    return self.take_back_import(plan, hold, method, &imported, failed).await;
                }
            }
        }
        // Nobody wants the data any more.
        self.end_without_image(plan, hold, Some(&imported)).await;
    }

    /// The data is there, and the image may not have it.
    async fn take_back_import(&self, plan: &Plan, hold: Hold, method: &Method, imported: &Imported, failed: Failed) {
        let removed = self.images.remove_imported(plan, imported).await;
        if let Err(left) = &removed {
            warn!(task_id = plan.task_id, error = left as &dyn StdError, "refused data cannot be removed yet");
        }
        let failed = Failed { leaves_something: removed.is_err() || imported.leaves_something, ..failed };
        self.give_back(plan, hold, method, failed).await;
    }

    /// Nothing was kept: the image goes back to where it was.
    async fn give_back(&self, plan: &Plan, hold: Hold, method: &Method, failed: Failed) {
        let task_id = &plan.task_id;
        warn!(task_id, image_id = plan.image.id, "an import has failed: {}", failed.message);
        if failed.leaves_something {
            // Recovery removes what is left, and then ends the task.
            return self.images.leave(hold, &failed.message).await;
        }
        let known = match self.images.look_at_held(&plan.image.id, &hold).await {
            Ok(Some(known)) => known,
            Ok(None) => return self.end_without_image(plan, hold, None).await,
            Err(error) => return self.leave_unclear(task_id, hold, &error, &failed.message).await,
        };
        let is_direct = *method == Method::GlanceDirect;
        let is_staged = is_direct || plan.transformed.is_changed;
        let may_keep = is_direct && failed.keeps_staged && !plan.transformed.is_changed;
        let keeps = may_keep && self.images.has_staged(&plan.image.id).await;
        let back = if keeps { Status::Uploading } else { Status::Queued };
        let step = self.images.step_of_failure(plan, &hold, &known, &failed.stores, back);
        self.end_in_failure(plan, hold, failed.message, step, is_staged && !keeps).await;
    }

    /// The caller may not have so much: the image is queued, with nothing of its data.
    async fn refuse_import(&self, plan: &Plan, hold: Hold, method: &Method, message: String) {
        warn!(task_id = plan.task_id, image_id = plan.image.id, "an import is over a limit: {message}");
        let step = self.images.step_of_refusal(plan, &hold);
        self.end_in_failure(plan, hold, message, step, *method == Method::GlanceDirect).await;
    }

    /// Takes the last step of an import that has failed. `unstages`: what is staged goes as well.
    async fn end_in_failure(&self, plan: &Plan, hold: Hold, message: String, step: ImageStep, unstages: bool) {
        if unstages {
            // While nobody can stage anew.
            self.images.drop_staged(plan).await;
        }
        let told = Some(message.clone());
        match rows::take_step(
            &self.db,
            TaskStep {
                message: told,
                image: Some(step),
                ..self.step(&plan.task_id, &[TaskStatus::Processing], TaskStatus::Failure)
            },
        )
        .await
        {
            Ok(()) => {
                crash_point("import.failed");
                self.images.tell_changed(plan);
                self.images.let_go(hold).await;
            }
            Err(DbError::NotFound { .. } | DbError::StateConflict { .. }) => {
                self.end_without_image(plan, hold, None).await;
            }
            Err(error) => self.leave_unclear(&plan.task_id, hold, &error, &message).await,
        }
    }

    /// The task fails, and there is no image to do anything about. `imported`: what is stored of its data already.
    async fn end_without_image(&self, plan: &Plan, hold: Hold, imported: Option<&Imported>) {
        match self.try_end_without_image(plan, imported).await {
            Ok(true) => {
                // What came after the deletion, or lies on another host than the one that deleted.
                self.images.drop_staged(plan).await;
                self.part_with(hold, imported).await;
            }
            // Who has taken the image ends the task with it; its lock is of the same task. He may have written to the same places, so
            // recovery looks at what is left there.
            Ok(false) => warn!(task_id = plan.task_id, "an import has lost its image to somebody else"),
            Err(error) => unclear(&plan.task_id, &error),
        }
    }

    /// The task has ended. What a store may still have of the data, recovery removes.
    async fn part_with(&self, hold: Hold, imported: Option<&Imported>) {
        if imported.is_some_and(|imported| imported.leaves_something) {
            self.images.leave(hold, LEFT).await;
        } else {
            self.images.let_go(hold).await;
        }
    }

    /// False: the image is not deleted, and nothing was done.
    async fn try_end_without_image(&self, plan: &Plan, imported: Option<&Imported>) -> Result<bool, image::Error> {
        if !self.images.is_deleted(&plan.image.id).await? {
            return Ok(false);
        }
        if let Some(imported) = imported {
            self.images.remove_imported(plan, imported).await?;
        }
        self.fail_freed(&plan.task_id, &plan.image.id, DELETED).await.map(|()| true)
    }
}
