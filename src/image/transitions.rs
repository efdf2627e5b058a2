//! The steps of an image's row while its data is written: `queued` → `saving` → `active`, or back to `queued`.
//!
//! Each is one transaction that asks for the status from which it starts, so that of two rivals one wins. What becomes of the data
//! depends on how a step ended, and there are three ways: an answer that was lost says nothing about the row.

use tracing::warn;

use super::Error;
use super::images::Images;
use super::model::Image;
use super::status::Status;
use crate::db::DbError;
use crate::db::images as rows;
use crate::db::model::{ImageUpdate, LocationRecord};
use crate::store::Hashes;

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
    pub(super) hashes: Hashes,
    pub(super) locations: Vec<LocationRecord>,
}

impl Images {
    /// `queued` → `saving`.
    pub(super) async fn claim(&self, image: &Image) -> Outcome {
        let change = ImageUpdate { status: Some(Status::Saving.as_str().to_owned()), ..ImageUpdate::default() };
        self.step(image, Status::Queued, change, |current| match current {
            Some(current) => Error::Raced { id: image.id.clone(), current },
            None => Error::NotFound(image.id.clone()),
        })
        .await
    }

    /// `saving` → `active`, with all that is known about the data.
    pub(super) async fn activate(&self, image: &Image, facts: Facts) -> Outcome {
        let change = ImageUpdate {
            status: Some(Status::Active.as_str().to_owned()),
            size: Some(i64::try_from(facts.size).ok()),
            virtual_size: facts.virtual_size.map(|size| i64::try_from(size).ok()),
            checksum: Some(Some(facts.hashes.md5)),
            os_hash_algo: Some(Some(facts.hashes.algorithm.name().to_owned())),
            os_hash_value: Some(Some(facts.hashes.value)),
            locations: Some(facts.locations),
            ..ImageUpdate::default()
        };
        self.step(image, Status::Saving, change, |_| Error::Gone(image.id.clone())).await
    }

    /// `saving` → `queued`. True when the row is there, or has gone another way; what is not known is left to recovery.
    pub(super) async fn release(&self, image: &Image) -> bool {
        let change = ImageUpdate {
            status: Some(Status::Queued.as_str().to_owned()),
            size: Some(None),
            virtual_size: Some(None),
            ..ImageUpdate::default()
        };
        let error = match self.step(image, Status::Saving, change, |_| Error::Gone(image.id.clone())).await {
            Outcome::Done | Outcome::Refused(Error::Gone(_)) => return true,
            Outcome::Refused(error) => error,
            Outcome::Unknown(error) => error.into(),
        };
        warn!(image_id = image.id, error = &error as &dyn std::error::Error, "cannot put the image back to queued");
        false
    }

    /// `refusal`: what to say when the row is in another status, or is gone.
    async fn step(
        &self,
        image: &Image,
        from: Status,
        change: ImageUpdate,
        refusal: impl FnOnce(Option<String>) -> Error,
    ) -> Outcome {
        match rows::update(&self.db, &image.id, change, Some(&[from.as_str()])).await {
            Ok(_) => Outcome::Done,
            Err(DbError::StateConflict { current, .. }) => Outcome::Refused(refusal(Some(current))),
            Err(DbError::NotFound { .. }) => Outcome::Refused(refusal(None)),
            Err(error) if error.is_unknown() => Outcome::Unknown(error),
            Err(error) => Outcome::Refused(error.into()),
        }
    }
}
