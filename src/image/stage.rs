//! Data of a queued image on its way into the staging area, where it waits for an import.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tracing::{info, warn};

use super::Error;
use super::images::{Images, store_context};
use super::intent_log::{Intent, Token};
use super::model::Image;
use super::status::Status;
use super::transitions::Outcome;
use super::unified_limits::Resource;
use super::upload::Upload;
use crate::ingest::{Allowance, Destination, Ingest, Ingested, Needed, Order};
use crate::notifications::Change;
use crate::store::{Location, Reader, StoreContext, StoreEntry, StoreError};
use crate::sys::crash_point::crash_point;

impl Images {
    /// Takes the data into the staging area. The work goes on by itself if the caller is dropped.
    ///
    /// # Errors
    /// [`Error::Transition`], [`Error::Raced`] or [`Error::NotFound`] if the image cannot take data or was deleted meanwhile, and
    /// what may be wrong with the data or the staging area.
    pub async fn stage<S>(&self, image: Image, upload: Upload<S>) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let images = self.clone();
        let work = self.tasks.spawn(async move { images.stage_to_an_end(&image, upload).await });
        work.await.map_err(Error::Interrupted)?
    }

    async fn stage_to_an_end<S>(&self, image: &Image, upload: Upload<S>) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        image.status.transition(Status::Uploading)?;
        let staging = self.stores.staging()?;
        let token = Token::new();
        let places = staging.store.candidates(&image.id).await?;
        let claim = self.claim(image, Status::Uploading, &token);
        let entry = self.begin(Intent::Stage, &image.id, &token, places, claim).await?;
        self.announce(image, Change::Updated);
        // Nobody else has the image now, so what lies there under its name is what an earlier attempt has left.
        let project = upload.project.clone();
        let (is_settled, outcome) = match self.enforce_limit(project.as_deref(), Resource::ImageCountUploading, 0).await
        {
            Err(error) => (true, Err(error)),
            Ok(()) => match self.remove_staged(&StoreContext::default(), &image.id).await {
                Ok(()) => self.receive_staged(image, &token, staging, upload).await,
                Err(error) => (false, Err(error.into())),
            },
        };
        let is_settled = match &outcome {
            Err(Error::NotFound(_)) | Ok(()) => is_settled,
            Err(_) if !is_settled => false,
            Err(_) => self.release(image.subject(), Status::Uploading, Some(&token)).await,
        };
        if is_settled {
            self.finish_entry(entry).await;
        }
        outcome
    }

    /// The first part of the result says whether nothing is left that recovery has to look at.
    async fn receive_staged<S>(
        &self,
        image: &Image,
        token: &Token,
        staging: &StoreEntry,
        upload: Upload<S>,
    ) -> (bool, Result<(), Error>)
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let context = store_context(image, Some(&upload.caller)).with_priority(upload.priority);
        let stored = match self.write_staged(&context, image, staging, upload).await {
            Ok(stored) => stored,
            Err(error @ Error::Store(StoreError::LeftBehind(_))) => return (false, Err(error)),
            Err(error) => return (true, Err(error)),
        };
        crash_point("stage.written");
        let host = self.options.self_url.as_deref();
        match self.keep_staged(image, token, stored.size, host).await {
            Outcome::Done => {
                crash_point("stage.kept");
                self.announce(image, Change::Updated);
                (true, Ok(()))
            }
            Outcome::Refused(error) => {
                let removed = self.remove_staged(&StoreContext::default(), &image.id).await;
                (removed.is_ok(), Err(error))
            }
            Outcome::Unknown(error) => (false, Err(error.into())),
        }
    }

    pub(super) async fn write_staged<S>(
        &self,
        context: &StoreContext,
        image: &Image,
        staging: &StoreEntry,
        upload: Upload<S>,
    ) -> Result<Ingested, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let order = Order {
            object: &image.id,
            announced: upload.announced,
            length: upload.length,
            // That is for the import, which reads the data again.
            algorithm: None,
            inspects: false,
            needed: Needed::All,
            at_once: 1,
            context: context.clone(),
        };
        let target = Destination { id: staging.id.clone(), store: Arc::clone(&staging.store) };
        let allowance = Allowance { most: self.options.limits.image_size, remaining: None };
        let poured = Ingest::begin(vec![target], &order).await?.pour(upload.data, allowance).await?;
        Ok(poured.commit().await?)
    }

    /// Removes what lies in the staging area under an image's name.
    ///
    /// # Errors
    /// Why it is still there.
    pub(super) async fn remove_staged(&self, context: &StoreContext, image_id: &str) -> Result<(), StoreError> {
        let Ok(staging) = self.stores.staging() else { return Ok(()) };
        for url in staging.store.candidates(image_id).await? {
            let location = Location::parse(&url)?;
            match staging.store.delete(context, &location).await {
                Ok(()) => info!(image_id, "staged data removed"),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => {
                    warn!(image_id, error = &error as &dyn StdError, "staged data could not be removed");
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Bytes of an image's staged data, if that is here.
    pub(super) async fn staged_length(&self, image_id: &str) -> Option<u64> {
        self.open_staged(image_id).await.ok()?.length()
    }

    /// Opens the staged data of an image.
    ///
    /// # Errors
    /// `NotFound` if there is none here.
    pub(super) async fn open_staged(&self, image_id: &str) -> Result<Reader, StoreError> {
        let staging = self.stores.staging()?;
        let mut outcome = Err(StoreError::NotFound { image: image_id.to_owned() });
        for url in staging.store.candidates(image_id).await? {
            outcome = staging.store.open(&StoreContext::default(), &Location::parse(&url)?, None).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}
