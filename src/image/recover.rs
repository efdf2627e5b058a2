//! Cleaning up after workers that died while they worked on image data (uploads, staging, imports, deletions).
//!
//! An entry of the intent log says what a worker was about; the image's row says whether that is still so. A status is put back only
//! where the row names the entry's token as the owner of the data. What the work concerned is removed only
//! there too, or where there is no row any more; else it belongs to somebody else, on this host or another. Locations
//! that an image was to lose need no owner: their data is removed where the row no longer has them, and nobody writes data to the
//! image just then, which may go to the same place.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Error;
use super::images::Images;
use super::intent_log::{Intent, Leftover, Record, Work};
use super::status::Status;
use crate::db::images::{self as rows, ImageAndOwner};
use crate::notifications::Subject;
use crate::store::{LocationRef, StoreContext, StoreError, Stores};
use crate::sys::causes::ErrorWithCauses;

/// Entries that are worked on side by side, and how long each is waited for. After that it goes on, locked, and others get their turn:
/// a store that does not answer holds up its own entries alone.
const AT_A_TIME: usize = 8;
const PATIENCE: Duration = Duration::from_secs(3);

/// Entries that are worked on in all, those that wait for such a store included.
const MOST: usize = 64;

/// Why an entry stays, to be tried again.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error(
        "the image is {status}, and nothing says who writes its data; if nobody does, it has to be put back to queued or deleted by hand"
    )]
    Unclear { status: Status },
    #[error(transparent)]
    Failed(#[from] Error),
}

/// What the log has been told of entries that stay: each is tried again every minute, perhaps for ever.
#[derive(Debug, Default)]
pub(super) struct Reported(Mutex<HashMap<OsString, String>>);

/// The right to work on an entry; as many as [`MOST`] are given at a time.
#[derive(Debug)]
pub(super) struct RecoverySlots(Arc<Semaphore>);

impl Default for RecoverySlots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Reported {
    /// Whether this has not been said of the entry yet, or something else since.
    fn is_new(&self, entry: &OsStr, error: &(dyn StdError + 'static)) -> bool {
        let said = ErrorWithCauses(error).to_string();
        self.lock().insert(entry.to_owned(), said.clone()) != Some(said)
    }

    /// Forgets the entries that are no more.
    fn retain(&self, entries: &[OsString]) {
        let entries: HashSet<&OsString> = entries.iter().collect();
        self.lock().retain(|entry, _| entries.contains(entry));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OsString, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be done about a leftover entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its work is over, or was never begun, or is somebody else's by now: the entry goes.
    Over,
    /// Data that no row speaks of is removed.
    Remove,
    /// So it is, and the image goes back from that status to `queued`.
    RemoveAndRelease(Status),
    /// Somebody else sees to it: the entry stays.
    Leave,
    /// Data may be written to this image just now, or be given up, and nothing tells by whom: the entry stays, and the log says so.
    Unclear,
}

impl Images {
    /// Takes up what dead workers of this machine left in the intent log. Called at start and from time to time; several
    /// workers may do so at once.
    ///
    /// # Errors
    /// [`Error::IntentLog`] if the intent log cannot be read. What cannot be cleaned up now stays for the next time.
    pub async fn recover(&self) -> Result<(), Error> {
        let intent_log = Arc::clone(&self.intent_log);
        let names = spawn_blocking(move || intent_log.unattended()).await.map_err(Error::Interrupted)?;
        let mut names = names.map_err(Error::IntentLog)?;
        self.reported.retain(&names);
        // When a run ends at its limit, those at the end have had no turn; the next time others are there.
        fastrand::shuffle(&mut names);
        stream::iter(names).for_each_concurrent(AT_A_TIME, |name| self.begin_recovery(name)).await;
        Ok(())
    }

    /// Recovers an entry, and waits a while for that.
    async fn begin_recovery(&self, name: OsString) {
        // With all slots at stores that do not answer, the next run may find one.
        let Ok(slot) = Arc::clone(&self.recovery_slots.0).try_acquire_owned() else { return };
        let images = self.clone();
        let shown = name.clone();
        let waiting = async move {
            images.recover_entry(name).await;
            drop(slot);
        };
        // On its own, as what a store does late must not meet what others have put there meanwhile: the entry's lock is held so long.
        if timeout(PATIENCE, tokio::spawn(waiting)).await.is_err() {
            debug!(entry = %shown.display(), "cleaning up after a dead worker takes long; it goes on while others are looked at");
        }
    }

    /// Whatever is wrong with one entry does not concern the others.
    async fn recover_entry(&self, name: OsString) {
        let (intent_log, taken) = (Arc::clone(&self.intent_log), name.clone());
        let shown = name.display();
        let leftover = match spawn_blocking(move || intent_log.take(&taken)).await {
            Ok(Ok(Some(leftover))) => leftover,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                let error: &dyn StdError = &error;
                if self.reported.is_new(&name, error) {
                    warn!(entry = %shown, error, "an entry of the intent log cannot be taken up");
                }
                return;
            }
            Err(error) => {
                let error: &dyn StdError = &error;
                warn!(entry = %shown, error, "looking at an entry of the intent log was interrupted");
                return;
            }
        };
        let Leftover { record, entry } = leftover;
        match self.clean_up(&record).await {
            Ok(true) => self.finish_entry(entry).await,
            Ok(false) => {}
            Err(error) => {
                let error: &dyn StdError = &error;
                if self.reported.is_new(&name, error) {
                    warn!(image_id = record.image_id, entry = %shown, error, "cannot clean up after a dead worker yet; it is tried again every minute");
                }
            }
        }
    }

    /// False: the entry stays.
    async fn clean_up(&self, record: &Record) -> Result<bool, Unfinished> {
        if let Some(work) = record.work.as_ref().filter(|work| work.intent == Intent::Import) {
            return Ok(self.reclaim(record, work).await?);
        }
        if let Some(work) = record.work.as_ref().filter(|work| work.intent == Intent::Make) {
            return Ok(self.recover_making(record, work).await?);
        }
        let with_owner = rows::with_owner(&self.db, &record.image_id).await.map_err(Error::from)?;
        match fate(record, with_owner.as_ref()) {
            Fate::Over => Ok(true),
            Fate::Leave => Ok(false),
            Fate::Unclear => {
                let status = with_owner.map_or(Status::Unknown(""), |with_owner| Status::from(&with_owner.image));
                Err(Unfinished::Unclear { status })
            }
            Fate::Remove => {
                self.remove_unknown(record, with_owner.as_ref()).await?;
                Ok(true)
            }
            Fate::RemoveAndRelease(status) => {
                self.remove_unknown(record, with_owner.as_ref()).await?;
                let token = record.work.as_ref().map(|work| &work.token);
                let owner = with_owner.as_ref().and_then(|with_owner| with_owner.image.owner.as_deref());
                let image = Subject { id: &record.image_id, owner };
                let is_released = self.release(image, status, token).await;
                if is_released {
                    info!(image_id = record.image_id, "image put back to its former status after its worker had died");
                }
                Ok(is_released)
            }
        }
    }

    /// Removes the data at the places that are no location of the image.
    pub(super) async fn remove_unknown(
        &self,
        record: &Record,
        with_owner: Option<&ImageAndOwner>,
    ) -> Result<(), Error> {
        let known: Vec<&str> = with_owner
            .iter()
            .flat_map(|with_owner| &with_owner.image.locations)
            .map(|location| location.url.as_str())
            .collect();
        let context = StoreContext::new(with_owner.and_then(|with_owner| with_owner.image.owner.as_deref()), None);
        Ok(remove_places(&self.stores, &context, record, &known).await?)
    }
}

/// Removes the data at the places of an entry, that at `kept` (URLs) excepted, by whatever name it has it there: where a store's directory
/// has moved, and a link or a mount leads there from the old place, images of before have other URLs than their candidates.
///
/// # Errors
/// That of the first place at which data may still be; all places have been tried.
async fn remove_places(
    stores: &Stores,
    context: &StoreContext,
    record: &Record,
    kept: &[&str],
) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    for url in record.places.iter().filter(|url| !kept.contains(&url.as_str())) {
        let place = LocationRef { url, store: stores.id_for_url(url) };
        let removed = match stores.is_among(url, kept).await {
            Ok(true) => {
                info!(image_id = record.image_id, "data kept: it is a location of the image under another URL");
                continue;
            }
            Ok(false) => stores.delete(context, place).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => info!(image_id = record.image_id, "data of a dead worker removed"),
            Err(error) if is_nothing_to_remove(&error, stores, place, record.work.as_ref()) => {}
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

/// Whether a place at which nothing could be removed is done with.
fn is_nothing_to_remove(error: &StoreError, stores: &Stores, place: LocationRef<'_>, work: Option<&Work>) -> bool {
    match error {
        StoreError::NotFound { .. } => true,
        // A URL set by hand, or encrypted with another key: nobody could ever remove what it means.
        StoreError::UnknownScheme { .. } | StoreError::BadLocation { .. } => true,
        // Others than read-only ones refuse while their options are wrong, and have the data still.
        StoreError::Unsupported { .. } => {
            let writes = work.is_some_and(|work| !matches!(work.intent, Intent::Delete | Intent::RemoveLocations));
            !writes && stores.is_read_only(place)
        }
        _ => false,
    }
}

fn fate(record: &Record, with_owner: Option<&ImageAndOwner>) -> Fate {
    let Some(work) = &record.work else { return fate_of_earlier_build(with_owner) };
    let Some(with_owner) = with_owner else {
        // Purged long after it was deleted.
        return Fate::Remove;
    };
    let is_owner = with_owner.owner.as_deref() == Some(work.token.as_str());
    let writing = match work.intent {
        Intent::Upload => Status::Saving,
        Intent::Stage => Status::Uploading,
        // See `reclaim` and `recover_making`.
        Intent::Import | Intent::Make => return Fate::Leave,
        Intent::Delete if is_owner && is_erased(with_owner) => return Fate::Remove,
        // The row is there, or somebody else deletes.
        Intent::Delete => return Fate::Over,
        // Should the row still have the locations, they may come back with the image.
        Intent::RemoveLocations if is_waiting(with_owner) => return Fate::Leave,
        // Whoever owns the data of an image may have put it there by now, before the row says so. What is deleted gets none any more.
        Intent::RemoveLocations
            if with_owner.owner.is_some() && !with_owner.image.deleted && !has_all(with_owner, record) =>
        {
            return Fate::Leave;
        }
        // What the image still has stays: then the row never changed.
        Intent::RemoveLocations => return Fate::Remove,
    };
    let is_writing = !with_owner.image.deleted && Status::from(&with_owner.image) == writing;
    if is_writing && with_owner.owner.is_none() && work.intent == Intent::Stage {
        // The data is staged, by us or by another program.
        Fate::Over
    } else if is_writing && with_owner.owner.is_none() {
        // Another program writes, which has no token; or ours was purged, as happens after weeks.
        Fate::Unclear
    } else if !is_owner || is_waiting(with_owner) {
        Fate::Over
    } else if is_writing {
        Fate::RemoveAndRelease(writing)
    } else {
        Fate::Remove
    }
}

/// Without a token in the entry, a token in the row is a later worker's.
fn fate_of_earlier_build(with_owner: Option<&ImageAndOwner>) -> Fate {
    match with_owner {
        None => Fate::Remove,
        Some(with_owner) if with_owner.owner.is_some() => Fate::Over,
        Some(with_owner) if is_erased(with_owner) => Fate::Remove,
        Some(ImageAndOwner { image, .. }) if !image.deleted && Status::from(image) == Status::Saving => {
            Fate::RemoveAndRelease(Status::Saving)
        }
        Some(_) => Fate::Over,
    }
}

/// Whether all places of an entry are locations of the image.
fn has_all(with_owner: &ImageAndOwner, record: &Record) -> bool {
    let is_known = |url: &String| with_owner.image.locations.iter().any(|location| location.url == *url);
    record.places.iter().all(is_known)
}

/// Deleted for good, with its data.
fn is_erased(with_owner: &ImageAndOwner) -> bool {
    with_owner.image.deleted && !is_waiting(with_owner)
}

/// Deleted, but its data waits for the scrubber, or for somebody who restores it.
fn is_waiting(with_owner: &ImageAndOwner) -> bool {
    Status::from(&with_owner.image) == Status::PendingDelete
}

#[cfg(test)]
mod tests;
