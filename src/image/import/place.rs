//! Data that lies somewhere already becomes that of an image (upstream: `glance/async_/flows/location_import.py`).

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tracing::warn;

use super::hold::Hold;
use super::{FAILED, IMPORTING, LOCK};
use crate::db::model::{ImageUpdate, LocationRecord, OtherLocations, OtherProperties};
use crate::db::tasks::{ImageStep, NewTask};
use crate::identity::Context;
use crate::image::images::store_context;
use crate::image::intent_log::{Entry, Intent, Token};
use crate::image::model::stays_refused;
use crate::image::transitions::{to, with_hashes};
use crate::image::{Error, ExpectedDigest, Image, Images, Status, locations};
use crate::notifications::Change;
use crate::store::{Algorithm, Digests, Hashes, Priority, Reader, StoreError};
use crate::sys::background::poll_in_background;

/// How often the image is looked at while its data is read.
const LOOK: Duration = Duration::from_secs(5);

/// A place of data that is to become an image's.
pub(crate) struct Placement {
    /// As it was when the place was told, without what a former task has left of its progress.
    pub(crate) image: Image,
    pub(crate) task_id: String,
    pub(crate) url: String,
    /// What the data must be.
    pub(crate) expected: Option<ExpectedDigest>,
    /// Who told it.
    pub(crate) caller: Arc<Context>,
}

impl Placement {
    /// Whether the place stays the image's location though its data did not become the image's.
    pub(crate) fn stays(&self) -> bool {
        stays_refused(&self.url)
    }
}

/// Data at a place cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashFault {
    /// Nothing is there.
    #[error("there is no data at the location")]
    Missing,
    /// It cannot be opened.
    #[error("{0}")]
    Store(StoreError),
    /// It broke off; another attempt may do better.
    #[error("the data did not come whole: {0}")]
    Broken(io::Error),
    /// The image is gone, or somebody else's.
    #[error("Image has been deleted.")]
    Lost,
}

impl Images {
    /// Registers a task that has the image for itself.
    ///
    /// # Errors
    /// As [`Images::hold`].
    pub(crate) async fn hold_for_place(&self, placement: &Placement, task: NewTask) -> Result<Hold, Error> {
        // What lies there was written by others: no crash makes it ours to remove.
        self.hold_with(&placement.image, task, Vec::new()).await
    }

    /// Looks at the place and gives the change that makes it the image's only location: what was told before was refused. `known`: the
    /// image as it is by now.
    ///
    /// # Errors
    /// Those of a location that a PATCH adds.
    pub(crate) async fn locate(&self, placement: &Placement, known: &Image) -> Result<ImageUpdate, Error> {
        let mut image = known.clone();
        image.forget_refused();
        let project = placement.caller.project_id.as_deref();
        let context = store_context(&image, Some(&placement.caller));
        let mut rules = locations::Rules { images: self, project, context, known: &mut locations::Known::default() };
        rules.append(&mut image, &placement.url).await?;
        Ok(ImageUpdate {
            size: Some(image.size),
            locations: Some(image.locations),
            read_locations: Some(known.locations.clone()),
            ..ImageUpdate::default()
        })
    }

    /// The algorithm of an image whose client asks for none.
    pub(crate) fn hashing_algorithm(&self) -> Result<Algorithm, StoreError> {
        Algorithm::parse(&self.options.hashing_algorithm)
    }

    /// Reads the data that the image has by now, once, at the pace of the slower digest. `passed` is told of bytes as they pass.
    ///
    /// # Errors
    /// [`HashFault`]
    pub(crate) async fn hash_place(
        &self,
        placement: &Placement,
        hold: &Hold,
        algorithm: Algorithm,
        passed: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Hashes, HashFault> {
        let known = self.look_at_held(&placement.image.id, hold).await;
        let image = known.ok().flatten().ok_or(HashFault::Lost)?;
        let context = store_context(&image, Some(&placement.caller)).with_priority(Priority::Background);
        let hashed = async {
            let reader = self.open_located(&context, &image, None).await.map_err(|error| match error {
                Error::Store(StoreError::NotFound { .. }) => HashFault::Missing,
                Error::Store(error) => HashFault::Store(error),
                other => HashFault::Broken(io::Error::other(other)),
            })?;
            let hashed = poll_in_background(hash(reader, algorithm, passed)).await;
            hashed.map_err(|error| HashFault::Store(StoreError::without_thread(error)))?
        };
        self.while_held(&image.id, hold, hashed).await.ok_or(HashFault::Lost)?
    }

    /// The outcome of work for an image; `None` if the image is deleted, or somebody else's, before it is there. The work ends then.
    pub(crate) async fn while_held<T>(&self, image: &str, hold: &Hold, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            if let Ok(outcome) = timeout(LOOK, &mut work).await {
                return Some(outcome);
            }
            // Where the database does not answer, the end will tell.
            if let Ok(None) = self.look_at_held(image, hold).await {
                return None;
            }
        }
    }

    /// The step that writes down what is known of the data, from one of these statuses. `is_end`: the image is everybody's again.
    pub(crate) fn step_of_place(
        &self,
        placement: &Placement,
        hold: &Hold,
        change: ImageUpdate,
        from: &[Status],
        is_end: bool,
    ) -> ImageStep {
        let image = &placement.image;
        let lists = [IMPORTING, FAILED].into_iter().filter_map(|name| {
            let list = image.property(name)?;
            Some((name.to_owned(), Some(list.to_owned())))
        });
        let change = ImageUpdate {
            properties: Some(lists.collect()),
            other_properties: OtherProperties::DeleteNamed(Vec::new()),
            ..change
        };
        ImageStep {
            id: image.id.clone(),
            change,
            from: from.iter().map(|status| status.as_str().to_owned()).collect(),
            token: hold.token.as_str().to_owned(),
            unlocks: is_end.then_some(LOCK),
        }
    }

    /// The change that takes back what was written down before the data turned out to be wrong, and the locations that go with it.
    pub(crate) fn unplaced(&self, known: &Image) -> (ImageUpdate, Vec<LocationRecord>) {
        match known.status {
            Status::Importing => {
                let (kept, gone) = known.locations.iter().cloned().partition(|location| stays_refused(&location.url));
                let other_locations =
                    if self.options.delayed_delete { OtherLocations::Schedule } else { OtherLocations::default() };
                let change = ImageUpdate {
                    size: Some(None),
                    os_hash_algo: Some(None),
                    locations: Some(kept),
                    read_locations: Some(known.locations.clone()),
                    other_locations,
                    ..to(Status::Queued)
                };
                (change, gone)
            }
            // It has its data, but nobody has read it.
            Status::Active | Status::Deactivated if known.os_hash_value.is_none() => {
                (ImageUpdate { os_hash_algo: Some(None), ..ImageUpdate::default() }, Vec::new())
            }
            _ => (ImageUpdate::default(), Vec::new()),
        }
    }

    /// An entry of the intent log under which the data at locations goes, unless the scrubber takes it. `None`: there is none.
    ///
    /// # Errors
    /// [`Error::IntentLog`]
    pub(crate) async fn begin_removal(
        &self,
        placement: &Placement,
        locations: &[LocationRecord],
    ) -> Result<Option<Removal>, Error> {
        if locations.is_empty() || self.options.delayed_delete {
            return Ok(None);
        }
        let urls = locations.iter().map(|location| location.url.clone()).collect();
        let entry = self.begin_entry(Intent::RemoveLocations, &placement.image.id, &Token::new(), urls).await?;
        Ok(Some(Removal { entry, locations: locations.to_vec() }))
    }

    /// Removes the data, now that no location of the image leads there.
    pub(crate) async fn remove_unplaced(&self, placement: &Placement, removal: Removal) {
        let context = store_context(&placement.image, Some(&placement.caller));
        match self.remove_locations(&context, &placement.image.id, &removal.locations).await {
            Ok(()) => self.finish_entry(removal.entry).await,
            // Recovery tries again.
            Err(error) => warn!(image_id = placement.image.id, %error, "data of the wrong digest stays for now"),
        }
    }

    /// Nothing was changed, so that nothing goes.
    pub(crate) async fn cancel_removal(&self, removal: Removal) {
        self.finish_entry(removal.entry).await;
    }

    /// Tells that the image has its data.
    pub(crate) fn tell_placed(&self, placement: &Placement) {
        self.announce(&placement.image, Change::Activated);
        self.announce(&placement.image, Change::Updated);
    }
}

/// Data that is about to go.
pub(crate) struct Removal {
    entry: Entry,
    locations: Vec<LocationRecord>,
}

/// Reads data once.
async fn hash(reader: Reader, algorithm: Algorithm, passed: impl Fn(u64)) -> Result<Hashes, HashFault> {
    let mut data = reader.into_stream(Priority::Background);
    let mut digests = Digests::start(algorithm, Priority::Background);
    while let Some(piece) = data.next().await {
        let piece = piece.map_err(HashFault::Broken)?;
        passed(piece.len() as u64);
        digests.update(piece).await.map_err(HashFault::Store)?;
    }
    digests.finish().await.map_err(HashFault::Store)
}

/// What is known of data whose digests were computed.
pub(crate) fn hashed(next: Option<Status>, hashes: Hashes) -> ImageUpdate {
    let change = next.map(to).unwrap_or_default();
    with_hashes(change, Some(hashes))
}

impl ExpectedDigest {
    /// Whether data has it.
    pub(crate) fn is_that_of(&self, hashes: &Hashes) -> bool {
        self.value == hashes.value
    }

    /// The change by which an image says that it has it.
    pub(crate) fn told(&self, change: ImageUpdate) -> ImageUpdate {
        ImageUpdate {
            os_hash_algo: Some(Some(self.algorithm.name().to_owned())),
            os_hash_value: Some(Some(self.value.clone())),
            ..change
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn what_is_hashed_is_counted_as_it_passes() {
        let pieces = [b"some ", b"data "].map(|piece| Ok(Bytes::from_static(piece)));
        let counted = AtomicU64::new(0);
        let reader = Reader::Stream(Box::pin(stream::iter(pieces)));
        let passed = |bytes| {
            counted.fetch_add(bytes, Ordering::Relaxed);
        };
        hash(reader, Algorithm::parse("sha256").unwrap(), passed).await.unwrap();
        assert_eq!(counted.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn only_what_lies_in_the_web_stays() {
        for url in ["http://web/a", "https://web/a"] {
            assert!(stays_refused(url), "{url}");
        }
        // Letters count, as they do to upstream.
        for url in ["rbd://a/b/c/d", "file:///http", "HTTP://web/a", ""] {
            assert!(!stays_refused(url), "{url}");
        }
    }
}
