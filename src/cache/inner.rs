//! What all parts of the cache share.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blocking::is_passing;
use super::error::Error;
use super::fill::{Fill, Progress};
use super::hits::Hits;
use super::index::Index;
use super::layout::Layout;
use super::stats::Counters;
use super::totals::Totals;
use super::warnings::{Oddity, Warnings};
use crate::config::Config;

/// Fills that go on at the same time in one process though nobody reads (`image_cache_complete_fills`).
const MOST_UNREAD_FILLS: usize = 8;

pub(super) struct Inner {
    pub(super) layout: Layout,
    pub(super) index: Box<dyn Index>,
    pub(super) options: Options,
    pub(super) counters: Counters,
    pub(super) totals: Totals,
    pub(super) hits: Hits,
    /// Fills of this process, by image.
    pub(super) fills: Fills,
    /// Held by the one task of this process that makes room just now, or has its turn next.
    pub(super) room: Arc<tokio::sync::Mutex<()>>,
    /// Fills that go on though nobody reads.
    pub(super) unread_fills: Semaphore,
    /// What goes on until its end, for which whoever ends the process waits.
    pub(super) work: TaskTracker,
    /// Cancelled when the process is to end.
    pub(super) stopping: CancellationToken,
    pub(super) prefetching: Mutex<Prefetching>,
    /// For whoever prefetches: look at the queue again.
    pub(super) asked_to_prefetch: Notify,
    pub(super) warnings: Warnings,
}

/// What the configuration says about the cache. Of two that are equal one cache can serve both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    directory: PathBuf,
    driver: String,
    sqlite: String,
    node: Option<String>,
    /// Bytes.
    pub(super) max_size: u64,
    /// `max_size` holds while the cache fills, not only after a prune.
    pub(super) is_enforced: bool,
    pub(super) stall_time: Duration,
    /// A fill goes on when nobody reads any more.
    pub(super) completes: bool,
    /// Largest image, in bytes, that is fetched whole for a part of it.
    pub(super) range_limit: u64,
    /// Ids of stores whose images are not cached.
    pub(super) skipped: Vec<String>,
}

/// Prefetching, as far as this process does it.
#[derive(Debug, Default)]
pub(super) struct Prefetching {
    /// Somebody fulfils what is queued.
    pub(super) is_running: bool,
    /// Something was queued since the queue was looked at last.
    pub(super) is_asked: bool,
    /// What could not be had, and is not tried again before somebody asks for it anew.
    pub(super) failed: HashSet<String>,
    /// How many were fetched in the present run.
    pub(super) fetched: u64,
    /// How many were fetched, or could not be had.
    pub(super) ended: u64,
    /// How many there are in all.
    pub(super) total: u64,
}

impl Prefetching {
    /// An image was fetched, or could not be had.
    pub(super) fn end(&mut self, id: String, is_fetched: bool) {
        self.ended += 1;
        if is_fetched {
            self.fetched += 1;
        } else {
            self.failed.insert(id);
        }
    }
}

impl Options {
    /// `None`: no cache is configured.
    pub(super) fn read(config: &Config) -> Option<Self> {
        let own = &config.default;
        let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
        let directory = own.image_cache_dir.as_deref().filter(|directory| !directory.is_empty())?;
        Some(Self {
            directory: PathBuf::from(directory),
            driver: own.image_cache_driver.clone(),
            sqlite: own.image_cache_sqlite_db.clone(),
            node: own.worker_self_reference_url.clone(),
            max_size: bytes(own.image_cache_max_size),
            is_enforced: config.service.image_cache_enforce_max_size,
            stall_time: Duration::from_secs(bytes(own.image_cache_stall_time)),
            completes: config.service.image_cache_complete_fills,
            range_limit: bytes(config.service.image_cache_range_fill_limit),
            skipped: config.service.image_cache_skip_stores.clone(),
        })
    }

    pub(super) fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Bytes that one image may have.
    pub(super) fn largest(&self) -> u64 {
        if self.is_enforced { self.max_size } else { u64::MAX }
    }
}

impl Inner {
    pub(super) fn new(
        layout: Layout,
        index: Box<dyn Index>,
        options: Options,
        work: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            layout,
            index,
            options,
            counters: Counters::default(),
            totals: Totals::default(),
            hits: Hits::default(),
            fills: Fills::default(),
            room: Arc::default(),
            unread_fills: Semaphore::new(MOST_UNREAD_FILLS),
            work,
            stopping,
            prefetching: Mutex::default(),
            asked_to_prefetch: Notify::new(),
            warnings: Warnings::default(),
        }
    }

    /// Says that the directory cannot be written to or read.
    pub(super) fn warn(&self, image_id: &str, error: &dyn std::error::Error) {
        if self.warnings.may_tell_of_disk() {
            tracing::warn!(image_id, %error, "the image cache cannot be used; images come from their stores until it can");
        } else {
            tracing::debug!(image_id, %error, "the image cache cannot be used");
        }
    }

    /// The same of the start, and of what the service does by itself.
    pub(super) fn warn_of_directory(&self, error: &dyn std::error::Error) {
        if self.warnings.may_tell_of_disk() {
            tracing::warn!(%error, "the directory of the image cache cannot be written to; images come from their stores until it can");
        } else {
            tracing::debug!(%error, "the directory of the image cache cannot be written to");
        }
    }

    /// Says that the index cannot be read or written.
    pub(super) fn warn_of_index(&self, error: &Error) {
        let is_of_disk = match error {
            Error::Directory(_) => true,
            Error::Index(error) => error.is_of_disk(),
        };
        if is_of_disk {
            self.warn_of_directory(error);
        } else if self.warnings.may_tell_of_index() {
            tracing::warn!(%error, "the index of the image cache cannot be used; images are served without it until it can");
        } else {
            tracing::debug!(%error, "the index of the image cache cannot be used");
        }
    }

    /// Says that something lies in the place of an image that cannot be used; unless it is the disk that gives nothing.
    pub(super) fn warn_of_file(&self, image_id: &str, error: &io::Error) {
        if is_passing(error) {
            self.warn(image_id, error);
        } else if self.warnings.may_tell_of_file(image_id, Oddity::Unusable) {
            tracing::warn!(image_id, %error, "the file of a cached image cannot be used");
        }
    }

    pub(super) fn prefetching(&self) -> MutexGuard<'_, Prefetching> {
        self.prefetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fills that go on in this process: one for each image.
#[derive(Debug, Default)]
pub(super) struct Fills(Mutex<HashMap<String, Arc<Fill>>>);

impl Fills {
    /// Looks for the fill of an image, else makes one. What `with` does to it happens before anybody can end it.
    pub(super) fn find_or_begin<T>(&self, id: &str, with: impl FnOnce(&Fill) -> T) -> (T, Option<Arc<Fill>>) {
        let mut fills = self.lock();
        if let Some(fill) = fills.get(id) {
            return (with(fill), None);
        }
        let fill = Arc::new(Fill::new());
        let done = with(&fill);
        fills.insert(id.to_owned(), Arc::clone(&fill));
        (done, Some(fill))
    }

    /// Ends a fill that nobody reads. False: somebody does.
    pub(super) fn end_unread(&self, id: &str, fill: &Arc<Fill>) -> bool {
        let mut fills = self.lock();
        if fill.is_read() {
            return false;
        }
        remove(&mut fills, id, fill);
        true
    }

    pub(super) fn end(&self, id: &str, fill: &Arc<Fill>) {
        remove(&mut self.lock(), id, fill);
    }

    /// Those whose data is right and that are about to become cached images.
    pub(super) fn ending(&self) -> Vec<watch::Receiver<Progress>> {
        self.lock().values().filter(|fill| fill.is_right()).map(|fill| fill.listen()).collect()
    }

    /// Bytes that they have written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().values().map(|fill| fill.written()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Fill>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(fills: &mut HashMap<String, Arc<Fill>>, id: &str, fill: &Arc<Fill>) {
    if fills.get(id).is_some_and(|there| Arc::ptr_eq(there, fill)) {
        fills.remove(id);
    }
}
