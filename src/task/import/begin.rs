//! Whether an import may begin, and its task.

use std::sync::Arc;

use serde_json::json;
use tracing::{info, warn};

use super::flow::{self, HeldImport};
use super::request::{ImportRequest, Method};
use crate::db::tasks as rows;
use crate::db::{DbError, clock};
use crate::identity::Context;
use crate::image::{FAILED, IMPORTING, Image, LOCK, Plan, Transformed, without_stores};
use crate::schema::python::Excerpt;
use crate::sys::crash_point::crash_point;
use crate::task::tasks::new_task;
use crate::task::{Asker, Error, Task, TaskKind, TaskStatus, Tasks};

/// How long after its last change a task is given up that has not ended, or has ended without letting go of its image.
const EXPIRY: time::Duration = time::Duration::minutes(60);

/// An import that may begin.
pub struct Prepared {
    image: Image,
    request: ImportRequest,
    stores: Vec<String>,
    /// A task of which the image was taken.
    former: Option<Task>,
}

impl Tasks {
    /// Looks whether an image is free for an import, and where its data is to go. `header`: the store that the client names beside
    /// the document. `None`: there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Invalid`]
    pub async fn prepare_import(
        &self,
        image: Image,
        request: ImportRequest,
        header: Option<String>,
    ) -> Result<Option<Prepared>, Error> {
        let former = match image.property(LOCK) {
            Some(holder) => self.take_from(&image, holder).await?,
            None => None,
        };
        let Some(stores) = self.stores_of(&image, &request, header)? else { return Ok(None) };
        if !request.needs_all && !self.images.has_store_ids() {
            let uri = match &request.method {
                Method::WebDownload { uri } => uri.as_deref(),
                _ => request.document.pointer("/method/uri").and_then(|uri| uri.as_str()),
            };
            let uri = crate::schema::python::or_none(uri);
            return Err(Error::Invalid(format!(
                "All_stores_must_succeed can only be set with enabled_backends {}",
                Excerpt(uri)
            )));
        }
        Ok(Some(Prepared { image, request, stores, former }))
    }

    /// Registers the task, and begins it when there is room.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that does not pass the filter, [`Error::Conflict`] if another import is first,
    /// [`Error::Full`].
    pub async fn begin_import(&self, prepared: Prepared, caller: &Arc<Context>) -> Result<(), Error> {
        let Prepared { mut image, request, stores, former } = prepared;
        if let Method::WebDownload { uri } = &request.method
            && !self.may_fetch(uri.as_deref().unwrap_or_default()).await
        {
            let uri = crate::schema::python::or_none(uri.as_deref());
            return Err(Error::Invalid(format!("URI for web-download does not pass filtering: {}", Excerpt(uri))));
        }
        if !self.pool.has_room() {
            return Err(Error::Full);
        }
        if let Some(former) = former {
            forget_progress(&mut image, &former);
        }
        let listed = if self.images.has_store_ids() { json!(stores) } else { json!([null]) };
        let input = json!({"image_id": image.id, "import_req": request.document, "backend": listed});
        let asker = Asker::of(caller);
        let task = new_task(TaskKind::ApiImageImport, &asker, Some(image.id.clone()), input);
        let task_id = task.id.clone();
        let plan = Plan {
            is_copy: request.method == Method::CopyImage,
            image,
            task_id: task_id.clone(),
            stores,
            needs_all: request.needs_all,
            project: caller.project_id.clone(),
            caller: Arc::clone(caller),
            transformed: Transformed::default(),
        };
        let hold = self.images.hold(&plan, task).await.map_err(Error::Image)?;
        crash_point("import.held");
        info!(task_id, image_id = plan.image.id, method = request.method.name(), "an import was asked for");
        let import = HeldImport { plan, hold, method: request.method };
        let tasks = self.clone();
        // Dropped when the queue is full after all, the hold is left to recovery, which ends the task.
        self.pool.submit(&task_id, flow::work(tasks, import))
    }

    /// The ids of the stores to write to; empty in a single-store cloud. `None`: the image is in all of them.
    fn stores_of(
        &self,
        image: &Image,
        request: &ImportRequest,
        header: Option<String>,
    ) -> Result<Option<Vec<String>>, Error> {
        if !self.images.has_store_ids() {
            if request.method == Method::CopyImage {
                return Err(Error::Invalid("Copying images needs a cloud with several stores.".to_owned()));
            }
            return Ok(Some(Vec::new()));
        }
        let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
        let mut stores = if request.all_stores {
            if request.stores.is_some() || header.is_some() {
                return invalid(
                    "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
                );
            }
            self.images.writable_stores()
        } else {
            match (&request.stores, header) {
                (Some(_), Some(_)) => {
                    return invalid("Stores parameter and x-image-meta-store header can't be both specified");
                }
                (Some(stores), None) => stores.clone(),
                (None, Some(store)) => vec![store],
                (None, None) => vec![self.images.default_store()],
            }
        };
        if let Some(unknown) = stores.iter().find(|id| !self.images.has_store(id)) {
            return Err(Error::Conflict(format!("Store for identifier {} not found", Excerpt(unknown))));
        }
        if request.method == Method::CopyImage {
            let holding = |store: &String| image.locations.iter().any(|location| location.store() == Some(store));
            if request.all_stores {
                stores.retain(|store| !holding(store));
                if stores.is_empty() {
                    info!(image_id = image.id, "the image is in all stores already; nothing is copied");
                    return Ok(None);
                }
            } else if let Some(store) = stores.iter().find(|store| holding(store)) {
                return Err(Error::Invalid(format!("Image is already present at store '{store}'")));
            }
        }
        let mut seen = std::collections::HashSet::new();
        stores.retain(|store| seen.insert(store.clone()));
        Ok(Some(stores))
    }

    /// Frees an image of a task that has long been silent (upstream: `_enforce_import_lock`). Gives the task, if there is one.
    pub(in crate::task) async fn take_from(&self, image: &Image, holder: &str) -> Result<Option<Task>, Error> {
        let task = rows::get_current(&self.db, holder).await?.map(Task::from);
        let busy = || Err(Error::Conflict("Image has active task".to_owned()));
        if let Some(task) = &task {
            let expiry = if task.status == TaskStatus::Pending { EXPIRY * 2 } else { EXPIRY };
            if clock::now() - task.updated_at < expiry {
                return busy();
            }
            match self.fail(&task.id, "Expired lock preempted".to_owned()).await {
                // It has ended long ago, without letting go of the image.
                Ok(()) | Err(DbError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !self.images.unlock(&image.id, holder).await.map_err(Error::Image)? {
            return busy();
        }
        warn!(image_id = image.id, task_id = holder, "the image was taken from a task that had long been silent");
        Ok(task)
    }
}

/// The stores that a former task was to write to are no part of the image's progress any more.
pub(in crate::task) fn forget_progress(image: &mut Image, former: &Task) {
    let backend = former.input.as_ref().and_then(|input| input.get("backend")?.as_array());
    let stores: Vec<&str> = backend.into_iter().flatten().filter_map(|store| store.as_str()).collect();
    for name in [IMPORTING, FAILED] {
        if let Some(list) = image.property(name) {
            let kept = without_stores(Some(list), &stores);
            image.properties.set(name, Some(kept));
        }
    }
}
