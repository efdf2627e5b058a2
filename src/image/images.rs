//! All images of one configuration: where handlers find, list and change them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::Error;
use super::import::Reclaims;
use super::intent_log::IntentLog;
use super::limits::Limits;
use super::model::Image;
use super::recover::{RecoverySlots, Reported};
use super::visibility::{Sight, Viewer};
use crate::config::Config;
use crate::db::images::{self as rows, list::ListQuery};
use crate::db::model::LocationRecord;
use crate::db::{Db, DbError};
use crate::identity::Context;
use crate::inspect;
use crate::keys::KeyManager;
use crate::keystone::UnifiedLimits;
use crate::notifications::Notifier;
use crate::store::{LocationRef, Reader, StoreContext, StoreEntry, StoreError, Stores};

/// The images, with one configuration's limits and stores. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    pub(super) db: Db,
    pub(super) stores: Arc<Stores>,
    pub(super) intent_log: Arc<IntentLog>,
    pub(super) options: Arc<Options>,
    pub(super) notifier: Notifier,
    /// Who has the keys of encrypted images.
    pub(super) keys: Option<Arc<KeyManager>>,
    /// Limits that Keystone keeps, where it does.
    pub(super) unified_limits: Option<Arc<UnifiedLimits>>,
    /// Work that must come to its end though the client has gone.
    pub(super) tasks: TaskTracker,
    pub(super) reported: Arc<Reported>,
    pub(super) reclaims: Arc<Reclaims>,
    pub(super) recovery_slots: Arc<RecoverySlots>,
}

/// What the configuration says about images.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) hashing_algorithm: String,
    pub(super) delayed_delete: bool,
    pub(super) shows_locations: bool,
    pub(super) inspection: inspect::Options,
    /// Where other hosts reach this one.
    pub(super) self_url: Option<String>,
    /// How long a task that is done is shown.
    pub(super) task_time_to_live: Duration,
    /// How many stores make an import's data durable at a time.
    pub(super) parallel_stores: usize,
}

impl Images {
    /// `notifier` hears what happens to images. `tasks` outlives a configuration: whoever ends the process waits for it.
    pub fn new(
        config: &Config,
        db: Db,
        stores: Arc<Stores>,
        intent_log: Arc<IntentLog>,
        notifier: Notifier,
        tasks: TaskTracker,
    ) -> Self {
        let options = Options {
            limits: Limits::new(config),
            hashing_algorithm: config.default.hashing_algorithm.clone(),
            delayed_delete: config.default.delayed_delete,
            shows_locations: config.default.show_multiple_locations,
            inspection: inspect::Options::from(&config.image_format),
            self_url: config.default.self_url(),
            task_time_to_live: config.task.time_to_live(),
            parallel_stores: usize::try_from(config.image_import_opts.max_parallel_stores).unwrap_or(1),
        };
        Self {
            db,
            stores,
            intent_log,
            options: Arc::new(options),
            notifier,
            keys: None,
            unified_limits: None,
            tasks,
            reported: Arc::default(),
            reclaims: Arc::default(),
            recovery_slots: Arc::default(),
        }
    }

    /// The same, with limits that Keystone keeps.
    #[must_use]
    pub(crate) fn with_unified_limits(self, unified_limits: Option<Arc<UnifiedLimits>>) -> Self {
        Self { unified_limits, ..self }
    }

    /// The same, with a key manager; keys stay when their images are deleted without.
    #[must_use]
    pub(crate) fn with_keys(self, keys: Arc<KeyManager>) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// The same, in the place of those of a former configuration: what they do about dead workers goes on.
    #[must_use]
    pub(crate) fn succeeding(self, former: &Self) -> Self {
        Self {
            reclaims: Arc::clone(&former.reclaims),
            reported: Arc::clone(&former.reported),
            recovery_slots: Arc::clone(&former.recovery_slots),
            ..self
        }
    }

    /// The image of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for one that the viewer cannot see.
    pub async fn get(&self, viewer: &Viewer, id: &str) -> Result<Image, Error> {
        let mut image = self.get_as_stored(viewer, id).await?;
        self.settle_locations(&mut image);
        Ok(image)
    }

    /// As [`Images::get`], with the locations just as the database has them.
    pub(super) async fn get_as_stored(&self, viewer: &Viewer, id: &str) -> Result<Image, Error> {
        let not_found = || Error::NotFound(id.to_owned());
        let record = rows::get(&self.db, id, false).await?.ok_or_else(not_found)?;
        let image = Image::from_record(record, viewer.project.as_deref());
        if self.can_see(viewer, &image).await? { Ok(image) } else { Err(not_found()) }
    }

    /// The images of one page, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a marker that does not exist, [`Error::Forbidden`] for one that the viewer cannot see.
    pub async fn list(&self, query: &ListQuery) -> Result<Vec<Image>, Error> {
        let records = rows::list(&self.db.lagging(), query).await.map_err(|error| match error {
            DbError::MarkerNotFound(id) => Error::NotFound(id),
            DbError::MarkerNotVisible(_) => Error::Forbidden(error.to_string()),
            DbError::TooManyFilters { .. } | DbError::TooManyValues { .. } => Error::Invalid(error.to_string()),
            other => other.into(),
        })?;
        let image = |record| {
            let mut image = Image::from_record(record, query.viewer.project.as_deref());
            self.settle_locations(&mut image);
            image
        };
        Ok(records.into_iter().map(image).collect())
    }

    /// Opens an image's data, or a range of it, at the best location that answers. `caller`: `None` for the service itself.
    ///
    /// # Errors
    /// [`Error::Store`]: not found when there is no data, or none yet, or no store has it.
    pub async fn open(
        &self,
        caller: Option<&Arc<Context>>,
        image: &Image,
        range: Option<Range<u64>>,
    ) -> Result<Reader, Error> {
        if image.status.awaits_data() {
            return Err(StoreError::NotFound { image: image.id.clone() }.into());
        }
        self.open_located(&store_context(image, caller), image, range).await
    }

    /// As [`Images::open`], also where nobody knows yet whether the data becomes the image's.
    pub(super) async fn open_located(
        &self,
        context: &StoreContext,
        image: &Image,
        range: Option<Range<u64>>,
    ) -> Result<Reader, Error> {
        let places: Vec<LocationRef<'_>> = image.locations.iter().map(location_ref).collect();
        Ok(self.stores.open_any(context, &places, range).await?)
    }

    /// The store of the location that is read first; `None` where there is no location, or no store for it.
    pub(crate) fn first_store(&self, image: &Image) -> Option<&StoreEntry> {
        let location = image.locations.first()?;
        self.stores.for_location(location_ref(location)).ok().map(|(store, _)| store)
    }

    /// Whether stores have ids that users may name.
    pub(crate) fn has_store_ids(&self) -> bool {
        self.stores.is_multi()
    }

    /// Whether users may name a store of this id.
    pub(crate) fn has_store(&self, id: &str) -> bool {
        self.stores.get(id).is_ok()
    }

    /// The id of the store that takes data when nobody chooses.
    pub(crate) fn default_store(&self) -> String {
        self.stores.default_store().id.clone()
    }

    /// The ids of all stores to which users may write.
    pub(crate) fn writable_stores(&self) -> Vec<String> {
        self.stores.public().filter(|entry| !entry.is_read_only()).map(|entry| entry.id.clone()).collect()
    }

    /// Names the stores of locations as they are called now, and puts the locations in the order in which they are read.
    pub(super) fn settle_locations(&self, image: &mut Image) {
        self.settle(&mut image.locations);
    }

    /// As [`Images::settle_locations`], for locations that are not those of an [`Image`].
    pub(super) fn settle(&self, locations: &mut [LocationRecord]) {
        for location in &mut *locations {
            if let Some(store) = self.stores.moved_to(location_ref(location)) {
                location.set_store(store);
            }
        }
        self.stores.sort_by_weight(locations, LocationRecord::store);
    }

    pub(super) async fn can_see(&self, viewer: &Viewer, image: &Image) -> Result<bool, Error> {
        Ok(match (viewer.sight(image.owner.as_deref(), image.visibility), viewer.project.as_deref()) {
            (Sight::Visible, _) => true,
            (Sight::IfMember, Some(project)) => rows::member_status(&self.db, &image.id, project).await?.is_some(),
            (Sight::Hidden | Sight::IfMember, _) => false,
        })
    }
}

/// On whose behalf the stores work on an image; without a caller the service does so by itself.
pub(super) fn store_context(image: &Image, caller: Option<&Arc<Context>>) -> StoreContext {
    StoreContext::new(image.owner.as_deref(), caller)
}

/// A row's location as the stores know it.
pub(super) fn location_ref(location: &LocationRecord) -> LocationRef<'_> {
    LocationRef::new(&location.url, location.store())
}
