//! Data of a queued image on its way into a store.
//!
//! [`ingest`](crate::ingest) reads the data and writes it; the image's row follows by its [transitions](super::transitions). Nothing is
//! visible until everything about the data has been checked, the store has made it durable and the row turns from `saving`
//! to `active`. Whatever fails, the data is removed and the row goes back to `queued`. When it is not known whether the row has
//! taken a step, data and intent log stay as they are, and recovery looks; so it does when the worker dies.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tracing::warn;

use super::Error;
use super::images::{Images, store_context};
use super::intent_log::{Intent, Token};
use super::model::Image;
use super::quota::{allowance, check_arrived};
use super::status::Status;
use super::transitions::{Facts, Outcome};
use crate::db::model::LocationRecord;
use crate::identity::Context;
use crate::ingest::{Destination, Ingest, Needed, Order, Poured};
use crate::inspect::Inspector;
use crate::notifications::Change;
use crate::store::{Algorithm, Hashes, Priority, StoreContext, StoreEntry, StoreError};
use crate::sys::crash_point::crash_point;

/// Data as it comes from a client.
pub struct Upload<S> {
    /// The store to write to; `None`: the default.
    pub store: Option<String>,
    /// Bytes that the client says will come, whether that makes sense or not; 0 or `None`: not known.
    pub announced: Option<i128>,
    /// Bytes that must come for the request to be whole; `None`: not known.
    pub length: Option<u64>,
    /// The caller's project, whose storage counts.
    pub project: Option<String>,
    /// Who sends the data.
    pub caller: Arc<Context>,
    /// Of the threads that pour, write and digest the data.
    pub priority: Priority,
    pub data: S,
}

impl Images {
    /// Takes the data. The work goes on by itself if the caller is dropped, so that it always comes to an end: the
    /// image is active, the data is refused, or recovery finds out which.
    ///
    /// # Errors
    /// [`Error::Transition`] and [`Error::MissingFormats`] if the image cannot take data, [`Error::Raced`] if another upload
    /// was first, [`Error::Gone`] if the image was deleted meanwhile, and everything that may be wrong with the data.
    pub async fn upload<S>(&self, image: Image, upload: Upload<S>) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let images = self.clone();
        let work = self.tasks.spawn(async move { images.upload_to_an_end(&image, upload).await });
        work.await.map_err(Error::Interrupted)?
    }

    async fn upload_to_an_end<S>(&self, image: &Image, upload: Upload<S>) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        image.check_transition(Status::Saving)?;
        let store = match &upload.store {
            Some(id) => self.stores.get(id)?,
            None => self.stores.default_store(),
        };
        if image.is_signed() {
            return Err(Error::SignatureUnverified(image.id.clone()));
        }
        let token = Token::new();
        let places = store.store.candidates(&image.id).await?;
        let claim = self.claim(image, Status::Saving, &token);
        let entry = self.begin(Intent::Upload, &image.id, &token, places, claim).await?;
        self.announce(image, Change::Updated);
        let received = match self.enforce_upload(image, upload.project.as_deref(), upload.announced).await {
            Ok(()) => self.prepare_and_receive(image, &token, store, upload).await,
            Err(error) => Received::Nothing(error),
        };
        let (is_settled, outcome) = match received {
            Received::Active => (true, Ok(())),
            Received::Unknown(error) => (false, Err(error)),
            Received::Nothing(error @ Error::Gone(_)) => (true, Err(error)),
            // Until the store has nothing of the data any more, nobody else may upload.
            Received::Nothing(error @ Error::Store(StoreError::LeftBehind(_))) => (false, Err(error)),
            Received::Nothing(error) => (self.release(image.subject(), Status::Saving, Some(&token)).await, Err(error)),
        };
        // An entry that stays is tried again by the next recovery.
        if is_settled {
            self.finish_entry(entry).await;
        }
        outcome
    }

    async fn prepare_and_receive<S>(
        &self,
        image: &Image,
        token: &Token,
        store: &StoreEntry,
        upload: Upload<S>,
    ) -> Received
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        self.announce(image, Change::Prepared { store: &store.id });
        let received = self.receive(image, token, store, upload).await;
        if let Received::Nothing(reason) | Received::Unknown(reason) = &received {
            self.announce(image, Change::UploadFailed { reason });
        }
        received
    }

    /// Reads the client's data to its end, makes it durable and the image active.
    async fn receive<S>(&self, image: &Image, token: &Token, store: &StoreEntry, upload: Upload<S>) -> Received
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let (project, announced) = (upload.project.clone(), upload.announced.filter(|size| *size > 0));
        let context = store_context(image, Some(&upload.caller)).with_priority(upload.priority);
        let mut poured = match self.pour(&context, image, store, upload).await {
            Ok(poured) => poured,
            Err(error) => return Received::Nothing(error),
        };
        let project = project.as_deref();
        let within_limits = match announced {
            Some(_) => Ok(()),
            None => self.enforce_uploaded(image, project, poured.size).await,
        };
        let judged = match within_limits {
            Ok(()) => self.judge(image, project, &mut poured).await,
            Err(error) => Err(error),
        };
        let virtual_size = match judged {
            Ok(virtual_size) => virtual_size,
            Err(error) => {
                let discarded = poured.discard().await;
                return Received::Nothing(discarded.map_or_else(Error::from, |()| error));
            }
        };
        let ingested = match poured.commit().await {
            Ok(ingested) => ingested,
            Err(error) => return Received::Nothing(error.into()),
        };
        let locations: Vec<LocationRecord> =
            ingested.stored.into_iter().map(|stored| LocationRecord::active(stored.url, stored.metadata)).collect();
        let facts = Facts { size: ingested.size, virtual_size, hashes: ingested.hashes, locations: locations.clone() };
        crash_point("upload.stored");
        match self.activate(image, token, facts).await {
            Outcome::Done => {
                crash_point("upload.activated");
                for change in [Change::Uploaded { bytes: ingested.size }, Change::Activated, Change::Updated] {
                    self.announce(image, change);
                }
                Received::Active
            }
            Outcome::Refused(error) => {
                let removed = self.remove_locations(&context, &image.id, &locations).await;
                Received::Nothing(removed.map_or_else(Error::from, |()| error))
            }
            Outcome::Unknown(error) => Received::Unknown(error.into()),
        }
    }

    async fn pour<S>(
        &self,
        context: &StoreContext,
        image: &Image,
        store: &StoreEntry,
        upload: Upload<S>,
    ) -> Result<Poured, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let allowance = allowance(self, &image.id, upload.project.as_deref(), upload.announced).await?;
        let order = Order { announced: upload.announced, length: upload.length, ..self.order(context, image)? };
        let target = Destination { id: store.id.clone(), store: Arc::clone(&store.store) };
        let ingest = Ingest::begin(vec![target], &order).await?;
        Ok(ingest.pour(upload.data, allowance).await?)
    }

    /// What is done with an image's data, of which nothing is known yet, on its way into a store.
    pub(super) fn order<'a>(&self, context: &StoreContext, image: &'a Image) -> Result<Order<'a>, Error> {
        let algorithm = image.os_hash_algo.as_deref().unwrap_or(&self.options.hashing_algorithm);
        Ok(Order {
            object: &image.id,
            announced: None,
            length: None,
            algorithm: Some(Algorithm::parse(algorithm)?),
            // Other containers are not opened.
            inspects: image.container_format.as_deref() == Some("bare"),
            needed: Needed::All,
            at_once: 1,
            context: context.clone(),
        })
    }

    /// Whether the data may stay, now that all of it has been seen. Gives the size of the disk inside.
    pub(super) async fn judge(
        &self,
        image: &Image,
        project: Option<&str>,
        poured: &mut Poured,
    ) -> Result<Option<u64>, Error> {
        // With the size now known, and whatever other uploads have taken meanwhile.
        check_arrived(self, &image.id, project, poured.size).await?;
        check_known_digests(image, poured.hashes.as_ref())?;
        Ok(poured.inspector.take().map(|inspector| self.inspect(image, inspector)).transpose()?.flatten())
    }

    /// Whether the data is what the image claims, and harmless. Gives the size of the disk inside.
    fn inspect(&self, image: &Image, inspector: Inspector) -> Result<Option<u64>, Error> {
        let claimed = image.disk_format.as_deref().unwrap_or("");
        let verdict = inspector
            .finish()
            .verdict(claimed, &self.options.inspection)
            .map_err(|rejection| Error::BadData(rejection.to_string()))?;
        for warning in &verdict.warnings {
            warn!(image_id = image.id, "{warning}");
        }
        Ok(verdict.virtual_size)
    }
}

/// What has become of an upload's data.
enum Received {
    /// It is durable, and the image active.
    Active,
    /// It is in no store, except where the error says that something may be left behind.
    Nothing(Error),
    /// It is durable, but whether the image is active is not known.
    Unknown(Error),
}

/// Digests that were set beforehand, with a location's validation data, must be those of the data.
fn check_known_digests(image: &Image, hashes: Option<&Hashes>) -> Result<(), Error> {
    let Some(hashes) = hashes else { return Ok(()) };
    let differs = |known: &Option<String>, found: &str| known.as_deref().is_some_and(|known| known != found);
    if differs(&image.os_hash_value, &hashes.value) {
        return Err(Error::DataDiffers("os_hash_value"));
    }
    if differs(&image.checksum, &hashes.md5) {
        return Err(Error::DataDiffers("checksum"));
    }
    Ok(())
}
