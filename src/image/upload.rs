//! Data of a queued image on its way into a store.
//!
//! Each chunk goes at the same time to the store's writer, to the two digests and to the inspector; bounded queues make the
//! client wait for the slowest of them. Nothing is visible until everything about the data has been checked, the store has
//! made it durable and the database row turns from `saving` to `active`. Whatever fails, the data is removed and the row
//! goes back to `queued`; should the worker die, the journal lets the next one do so.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use tracing::{info, warn};

use super::Error;
use super::images::Images;
use super::model::Image;
use super::quota::Allowance;
use super::status::Status;
use crate::db::DbError;
use crate::db::images as rows;
use crate::db::model::{ImageUpdate, LocationRecord};
use crate::inspect::Inspector;
use crate::store::{Algorithm, Digests, Hashes, Store, StoreError, Stored, Writer};

/// A client that sends nothing for this long may have stalled: what it has sent is then written, however little, because
/// thousands of such clients may be waited for.
const PAUSE: Duration = Duration::from_millis(200);

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
    pub data: S,
}

/// What is known about data once all of it has been seen.
struct Received {
    hashes: Hashes,
    virtual_size: Option<u64>,
}

impl Images {
    /// Takes the data. The work goes on by itself if the caller is dropped, so that it always comes to one of its two ends.
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
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        image.check_transition(Status::Saving)?;
        let store = match &upload.store {
            Some(id) => &self.stores.get(id)?.store,
            None => &self.stores.default_store().store,
        };
        let entry = self.journal_begin(&image.id, store.candidates(&image.id).await?).await?;
        if let Err(error) = self.claim(image).await {
            self.journal_finish(entry).await;
            return Err(error);
        }
        let outcome = self.receive(image, &**store, upload).await;
        let is_settled = match &outcome {
            Ok(()) | Err(Error::Gone(_)) => true,
            // The image may be active after all, and its data with it: recovery looks.
            Err(Error::Db(error)) if error.is_unknown() => false,
            // So it does when the store has kept something of the data; until then nobody else may upload.
            Err(Error::Store(StoreError::LeftBehind(_))) => false,
            Err(_) => self.release(image).await,
        };
        // An entry that stays is tried again by the next recovery.
        if is_settled {
            self.journal_finish(entry).await;
        }
        outcome
    }

    /// Turns the row from `queued` to `saving`: of two uploads one wins.
    async fn claim(&self, image: &Image) -> Result<(), Error> {
        let update = ImageUpdate { status: Some(Status::Saving.as_str().to_owned()), ..ImageUpdate::default() };
        match rows::update(&self.db, &image.id, update, Some(&[Status::Queued.as_str()])).await {
            Ok(_) => Ok(()),
            Err(DbError::StateConflict { current, .. }) => Err(Error::Raced { id: image.id.clone(), current }),
            Err(DbError::NotFound { .. }) => Err(Error::NotFound(image.id.clone())),
            Err(other) => Err(other.into()),
        }
    }

    /// Puts the row back to `queued`. True when it is there, or the image is gone.
    pub(super) async fn release(&self, image: &Image) -> bool {
        let update = ImageUpdate {
            status: Some(Status::Queued.as_str().to_owned()),
            size: Some(None),
            virtual_size: Some(None),
            ..ImageUpdate::default()
        };
        match rows::update(&self.db, &image.id, update, Some(&[Status::Saving.as_str()])).await {
            Ok(_) | Err(DbError::StateConflict { .. } | DbError::NotFound { .. }) => true,
            Err(error) => {
                warn!(
                    image_id = image.id,
                    error = &error as &dyn std::error::Error,
                    "cannot put the image back to queued"
                );
                false
            }
        }
    }

    /// Reads the client's data to its end, makes it durable and the image active.
    async fn receive<S>(&self, image: &Image, store: &dyn Store, upload: Upload<S>) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        if let Some(length) = upload.length {
            store.check_room(length).await?;
        }
        // No store holds so much, nor less than nothing: such data is read until it disagrees.
        let plausible = upload.announced.and_then(|size| u64::try_from(size).ok());
        let mut writer = store.begin(&image.id, plausible).await?;
        match self.pour(image, &mut *writer, upload).await {
            Ok(received) => {
                let stored = writer.commit().await?;
                self.activate(image, stored, received).await
            }
            Err(error) => {
                writer.abort().await?;
                Err(error)
            }
        }
    }

    async fn pour<S>(&self, image: &Image, writer: &mut dyn Writer, upload: Upload<S>) -> Result<Received, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        let allowance = Allowance::of(self, &image.id, upload.project, upload.announced).await?;
        let algorithm = image.os_hash_algo.as_deref().unwrap_or(&self.options.hashing_algorithm);
        let mut digests = Digests::start(Algorithm::parse(algorithm)?);
        // Other containers are not opened.
        let mut inspector = (image.container_format.as_deref() == Some("bare")).then(Inspector::new);
        let mut size: u64 = 0;
        let mut data = pin!(upload.data);
        loop {
            let next = match timeout(PAUSE, data.next()).await {
                Ok(next) => next,
                Err(_) => {
                    digests.flush();
                    writer.flush();
                    data.next().await
                }
            };
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(Error::Client)?;
            size += chunk.len() as u64;
            allowance.check(size)?;
            if let Some(expected) = upload.announced.filter(|expected| *expected < 0) {
                return Err(StoreError::SizeExceeded { expected, actual: size }.into());
            }
            if let Some(inspector) = &mut inspector {
                inspector.feed(&chunk);
            }
            digests.update(chunk.clone()).await?;
            writer.write(chunk).await?;
        }
        if let Some(expected) = upload.announced.filter(|expected| *expected != 0 && *expected != i128::from(size)) {
            return Err(StoreError::SizeMismatch { expected, actual: size }.into());
        }
        allowance.check_again(self, &image.id, size).await?;
        let hashes = digests.finish().await?;
        check_known_digests(image, &hashes)?;
        let virtual_size = inspector.map(|inspector| self.judge(image, inspector)).transpose()?.flatten();
        Ok(Received { hashes, virtual_size })
    }

    /// Whether the data is what the image claims, and harmless. Gives the size of the disk inside.
    fn judge(&self, image: &Image, inspector: Inspector) -> Result<Option<u64>, Error> {
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

    /// The last step: the row gets the data and turns `active`. If the image was deleted meanwhile, the data goes as well.
    async fn activate(&self, image: &Image, stored: Stored, received: Received) -> Result<(), Error> {
        let Received { hashes, virtual_size } = received;
        let location =
            LocationRecord { id: None, url: stored.url, status: "active".to_owned(), metadata: stored.metadata };
        let update = ImageUpdate {
            status: Some(Status::Active.as_str().to_owned()),
            size: Some(i64::try_from(stored.size).ok()),
            virtual_size: virtual_size.map(|size| i64::try_from(size).ok()),
            checksum: Some(Some(hashes.md5)),
            os_hash_algo: Some(Some(hashes.algorithm.name().to_owned())),
            os_hash_value: Some(Some(hashes.value)),
            locations: Some(vec![location.clone()]),
            ..ImageUpdate::default()
        };
        let error = match rows::update(&self.db, &image.id, update, Some(&[Status::Saving.as_str()])).await {
            Ok(_) => {
                info!(image_id = image.id, bytes = stored.size, "image data stored");
                return Ok(());
            }
            Err(DbError::StateConflict { .. } | DbError::NotFound { .. }) => Error::Gone(image.id.clone()),
            // The commit may have taken effect: until that is known the data stays.
            Err(error) if error.is_unknown() => return Err(error.into()),
            Err(other) => other.into(),
        };
        if let Err(left) = self.remove_location(&image.id, &location).await {
            return Err(StoreError::LeftBehind(Box::new(left)).into());
        }
        Err(error)
    }
}

/// Digests that were set beforehand, with a location's validation data, must be those of the data.
fn check_known_digests(image: &Image, hashes: &Hashes) -> Result<(), Error> {
    let differs = |known: &Option<String>, found: &str| known.as_deref().is_some_and(|known| known != found);
    if differs(&image.os_hash_value, &hashes.value) {
        return Err(Error::DataDiffers("os_hash_value"));
    }
    if differs(&image.checksum, &hashes.md5) {
        return Err(Error::DataDiffers("checksum"));
    }
    Ok(())
}
