//! The data of an import on its way into all stores at once.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tracing::warn;

use super::hold::{Hold, Plan};
use super::steps::locations;
use crate::db::images as rows;
use crate::db::model::LocationRecord;
use crate::image::images::{location_ref, store_context};
use crate::image::quota::allowance;
use crate::image::{Error, Image, Images, Upload};
use crate::ingest::{Destination, Ingest, IngestError, Ingested, Lost, Needed, Order, Poured};
use crate::notifications::Change;
use crate::store::{Hashes, LocationRef, Priority, Reader, StoreContext, StoreEntry, StoreError};
use crate::sys::crash_point::crash_point;

/// Data that is durable in its stores.
#[derive(Default)]
pub(crate) struct Imported {
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes of the disk inside, where the format tells.
    pub(super) virtual_size: Option<u64>,
    pub(super) hashes: Option<Hashes>,
    pub(crate) locations: Vec<LocationRecord>,
    /// Ids of the stores that failed.
    pub(crate) lost: Vec<String>,
    /// One of these may still have something of the data.
    pub(crate) leaves_something: bool,
}

impl From<Ingested> for Imported {
    fn from(ingested: Ingested) -> Self {
        Self {
            size: ingested.size,
            virtual_size: None,
            hashes: ingested.hashes,
            locations: locations(ingested.stored),
            leaves_something: ingested.lost.iter().any(Lost::leaves_something),
            lost: ingested.lost.into_iter().map(|lost| lost.id).collect(),
        }
    }
}

/// Why no data was kept.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Fault {
    /// The stores to blame; empty where it is the data.
    pub(crate) stores: Vec<String>,
    #[source]
    pub(crate) error: Error,
}

impl From<IngestError> for Fault {
    fn from(error: IngestError) -> Self {
        let stores = match &error {
            IngestError::Stores(failed) => failed.ids.clone(),
            _ => Vec::new(),
        };
        Self { stores, error: error.into() }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { stores: Vec::new(), error }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

impl Fault {
    /// Whether the data was judged, and may not become the image's. Else nobody knows yet: the database or a disk failed.
    pub(crate) fn is_about_data(&self) -> bool {
        match &self.error {
            Error::Store(error) => {
                matches!(error, StoreError::SizeExceeded { .. } | StoreError::SizeMismatch { .. })
            }
            Error::BadData(_) | Error::DataDiffers(_) | Error::TooLarge | Error::StorageQuota { .. } => true,
            Error::OverLimit { .. } | Error::SignatureUnverified(_) => true,
            _ => false,
        }
    }

    /// Whether something of the data may still be in a store.
    pub(crate) fn leaves_something(&self) -> bool {
        matches!(self.error, Error::Store(StoreError::LeftBehind(_)))
    }
}

impl Images {
    /// Writes the data to the stores of the plan and makes it durable there. `announced`: bytes that are said to come.
    ///
    /// # Errors
    /// No store has kept anything, but where the fault [leaves something](Fault::leaves_something).
    pub(crate) async fn pour_import<S>(
        &self,
        plan: &Plan,
        hold: &Hold,
        announced: Option<u64>,
        data: S,
    ) -> Result<Imported, Fault>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let image = &plan.image;
        let context = work_context(plan, hold);
        // Those that clients add while the data comes are seen at the end of the import.
        if image.is_signed_with(&plan.transformed.added()) {
            return Err(Error::SignatureUnverified(image.id.clone()).into());
        }
        let mut poured = self.fill(plan, &context, announced, data).await?;
        crash_point("import.filled");
        let project = plan.project.as_deref();
        let virtual_size = match self.judge(image, project, &mut poured).await {
            Ok(virtual_size) => virtual_size,
            Err(error) => {
                let discarded = poured.discard().await;
                return Err(discarded.map_or_else(Error::from, |()| error).into());
            }
        };
        crash_point("import.judged");
        let ingested = poured.commit().await?;
        for Lost { id, error } in &ingested.lost {
            let error: &dyn StdError = error;
            warn!(image_id = image.id, store = id, error, "a store did not take the image's data");
        }
        Ok(Imported { virtual_size, ..Imported::from(ingested) })
    }

    async fn fill<S>(
        &self,
        plan: &Plan,
        context: &StoreContext,
        announced: Option<u64>,
        data: S,
    ) -> Result<Poured, Fault>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let image = &plan.image;
        let announced = announced.filter(|size| *size > 0);
        let wanted = announced.map(i128::from);
        let allowance = allowance(self, &image.id, plan.project.as_deref(), wanted).await?;
        let order = Order {
            announced: wanted,
            length: announced,
            needed: if plan.needs_all { Needed::All } else { Needed::Any },
            at_once: self.options.parallel_stores,
            ..self.order(context, image)?
        };
        let mut destinations = Vec::new();
        for StoreEntry { id, store, .. } in self.entries(&plan.stores)? {
            self.announce(image, Change::Prepared { store: id });
            destinations.push(Destination { id: id.clone(), store: Arc::clone(store) });
        }
        Ok(Ingest::begin(destinations, &order).await?.pour(data, allowance).await?)
    }

    /// Removes data that was imported, as its image does not want it after all.
    ///
    /// # Errors
    /// Some of it is still there.
    pub(crate) async fn remove_imported(&self, plan: &Plan, imported: &Imported) -> Result<(), StoreError> {
        let context = store_context(&plan.image, Some(&plan.caller));
        self.remove_locations(&context, &plan.image.id, &imported.locations).await
    }

    /// Tells that an import has begun, or has left its image without the data.
    pub(crate) fn tell_changed(&self, plan: &Plan) {
        self.announce(&plan.image, Change::Updated);
    }

    /// Tells of data that has become that of its image.
    pub(crate) fn tell_imported(&self, plan: &Plan, imported: &Imported) {
        for _ in &imported.locations {
            self.announce(&plan.image, Change::Uploaded { bytes: imported.size });
        }
        if !plan.is_copy {
            self.announce(&plan.image, Change::Activated);
        }
        self.announce(&plan.image, Change::Updated);
    }

    /// The image as it is by now; `None` if it is deleted, or the hold was lost.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn look_at_held(&self, image_id: &str, hold: &Hold) -> Result<Option<Image>, Error> {
        let found = rows::with_owner(&self.db, image_id).await?;
        let own = found.filter(|found| !found.image.deleted && found.owner.as_deref() == Some(hold.token.as_str()));
        Ok(own.map(|found| Image::from_record(found.image, None)))
    }

    /// The staged data of the plan's image.
    ///
    /// # Errors
    /// There is none here.
    pub(crate) async fn open_for_import(&self, plan: &Plan) -> Result<Reader, StoreError> {
        self.open_staged(&plan.image.id).await
    }

    /// The data of an image that is to be copied, from its default store where that has it.
    ///
    /// # Errors
    /// That of the last location.
    pub(crate) async fn open_for_copy(&self, plan: &Plan) -> Result<Reader, StoreError> {
        let mut locations = plan.image.locations.clone();
        let default = self.stores.default_store().id.as_str();
        locations.sort_by_key(|location| location.store() != Some(default));
        let places: Vec<LocationRef<'_>> = locations.iter().map(location_ref).collect();
        let context = store_context(&plan.image, Some(&plan.caller)).with_priority(Priority::Background);
        self.stores.open_any(&context, &places, None).await
    }

    /// Staged data that has been imported, or never will be.
    pub(crate) async fn drop_staged(&self, plan: &Plan) {
        self.drop_all_staged(&plan.image.id).await;
    }

    /// Takes data into the staging area, so that plugins find all of it in a file.
    ///
    /// # Errors
    /// What may be wrong with the data or the staging area.
    pub(crate) async fn stage_for_import<S>(
        &self,
        plan: &Plan,
        hold: &Hold,
        size: Option<u64>,
        data: S,
    ) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let context = work_context(plan, hold);
        self.remove_staged(&context, &plan.image.id).await?;
        let upload = Upload {
            store: None,
            announced: size.map(i128::from),
            length: size,
            project: plan.project.clone(),
            caller: Arc::clone(&plan.caller),
            priority: context.priority,
            data,
        };
        self.write_staged(&context, &plan.image, self.stores.staging()?, upload).await.map(drop)
    }

    /// The file that has an image's staged data, or would have.
    pub(crate) fn staged_path(&self, plan: &Plan) -> Option<PathBuf> {
        Some(self.staging_folder()?.join(&plan.image.id))
    }

    /// Whether an image has staged data here.
    pub(crate) async fn has_staged(&self, image_id: &str) -> bool {
        self.staged_length(image_id).await.is_some()
    }
}

/// What the stores are told about the work of an import. Should it be given up, all that they still do must have ended before recovery
/// looks at what there is.
fn work_context(plan: &Plan, hold: &Hold) -> StoreContext {
    let context = store_context(&plan.image, Some(&plan.caller));
    context.with_priority(Priority::Background).keeping(hold.entry.lock())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DbError;

    #[test]
    fn a_store_that_was_left_out_may_have_something_of_the_data() {
        let full = || StoreError::NoRoom { requested: 1 };
        let of = |errors: Vec<StoreError>| {
            let lost = errors.into_iter().map(|error| Lost { id: "far".to_owned(), error }).collect();
            Imported::from(Ingested { size: 1, hashes: None, stored: Vec::new(), lost })
        };
        assert!(!of(vec![]).leaves_something && !of(vec![full()]).leaves_something);
        let left = of(vec![full(), StoreError::LeftBehind(Box::new(full()))]);
        assert!(left.leaves_something && left.lost == ["far", "far"]);
    }

    #[test]
    fn only_what_is_said_of_the_data_is_about_data() {
        let broken = || io::Error::from_raw_os_error(libc::EIO);
        let is_about_data = |error: Error| Fault::from(error).is_about_data();
        assert!(is_about_data(Error::BadData(String::new())));
        assert!(is_about_data(Error::DataDiffers("checksum")));
        assert!(is_about_data(Error::StorageQuota { size: "1".to_owned(), remaining: 0 }));
        assert!(is_about_data(IngestError::TooLarge { most: 1 }.into()));
        assert!(is_about_data(StoreError::SizeMismatch { expected: 2, actual: 1 }.into()));
        assert!(!is_about_data(IngestError::Source(broken()).into()));
        assert!(!is_about_data(StoreError::Io { doing: String::new(), source: broken() }.into()));
        assert!(!is_about_data(DbError::LocationsChanged { id: String::new() }.into()));
    }
}
