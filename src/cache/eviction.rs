//! Room for images: what was read longest ago makes way, what is being read stays.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::blocking::blocking;
use super::index::IndexError;
use super::inner::Inner;
use super::layout::{Evicted, Layout, Usage};
use super::stats::add;
use super::warnings::Oddity;
use crate::cache::Error;
use crate::store::OpenFile;

/// How long others of this host are waited for that make room just now.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Images that are evicted in one round at most, and how long it takes at most. Between two rounds others have their turn.
const ROUND: u64 = 64;
const ROUND_TIME: Duration = Duration::from_millis(500);

/// Images that the index is asked for at a time.
const CANDIDATES: u32 = 64;

/// Rounds of one eviction, however much comes into the cache meanwhile.
const MOST_ROUNDS: u32 = 10_000;

/// How long the index is waited for, which may be a database that is away.
const INDEX_TIMEOUT: Duration = Duration::from_secs(2);

/// Images that had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// Room that is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    /// The file that is being written, and from which byte on it needs room. `None`: the cache is only to keep its size.
    pub(super) place: Option<(Arc<OpenFile>, u64)>,
    /// Bytes without which nothing is gained.
    pub(super) least: u64,
    /// Bytes that are taken where they are free.
    pub(super) most: u64,
}

/// What a round of evictions has come to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// There is room, and this much of it was set aside.
    Fits(u64),
    /// There is none yet; the next round may find some.
    More,
    /// There is none.
    Full,
}

/// Kept while room is made: one process and one task of it does so at a time. Only work on files is done meanwhile.
pub(super) struct RoomLock {
    // Given back before the other, for which tasks of this process wait: they find both free.
    _host: Arc<File>,
    _process: OwnedMutexGuard<()>,
}

impl Inner {
    /// Sets aside room for a file that is being written; how many bytes. `None`: there is not so much.
    ///
    /// # Errors
    /// Those of the directory; `TimedOut` where others make room for too long.
    pub(super) async fn reserve(self: &Arc<Self>, claim: Claim) -> Result<Option<u64>, Error> {
        if !self.options.is_enforced {
            return Ok(Some(claim.set_aside(&self.layout, claim.least).await?));
        }
        if claim.least > self.options.max_size {
            return Ok(None);
        }
        Ok(self.make_room(claim).await?.0)
    }

    /// Removes images until the cache is not larger than it may be. Downloads that need room have their turn in between.
    ///
    /// # Errors
    /// Those of the directory; `TimedOut` where others make room for too long.
    pub(super) async fn prune(self: &Arc<Self>) -> Result<Pruned, Error> {
        Ok(self.make_room(Claim::default()).await?.1)
    }

    async fn make_room(self: &Arc<Self>, claim: Claim) -> Result<(Option<u64>, Pruned), Error> {
        let mut eviction = Eviction::new(claim);
        for _ in 0..MOST_ROUNDS {
            eviction.look_for_candidates(self).await?;
            let lock = self.lock_room(Instant::now() + LOCK_TIMEOUT).await?;
            let inner = Arc::clone(self);
            // In a task of its own, as whoever waits for it may go: what is evicted is counted, and the index told, all the same.
            let round = tokio::spawn(async move {
                let outcome = eviction.round(&inner).await;
                drop(lock);
                eviction.forget_evicted(&inner).await;
                (eviction, outcome)
            });
            let (after, outcome) = round.await.map_err(io::Error::other)?;
            eviction = after;
            match outcome? {
                Outcome::Fits(bytes) => return Ok((Some(bytes), eviction.pruned)),
                Outcome::Full => break,
                // Other processes look for the lock at such intervals.
                Outcome::More => sleep(2 * LOCK_PAUSE).await,
            }
        }
        Ok((None, eviction.pruned))
    }

    /// Keeps all others of this host from making room at the same time.
    ///
    /// # Errors
    /// Those of the directory; `TimedOut` where that cannot be had until `end`.
    pub(super) async fn lock_room(&self, end: Instant) -> io::Result<RoomLock> {
        let too_long = || io::Error::new(io::ErrorKind::TimedOut, "others make room for too long");
        let process = timeout_at(end, Arc::clone(&self.room).lock_owned()).await.map_err(|_| too_long())?;
        let layout = self.layout.clone();
        let folder = Arc::new(blocking(move || File::open(layout.base())).await?);
        loop {
            let host = Arc::clone(&folder);
            let is_locked = blocking(move || match host.try_lock() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            });
            if is_locked.await? {
                return Ok(RoomLock { _host: folder, _process: process });
            }
            if Instant::now() >= end {
                return Err(too_long());
            }
            sleep(LOCK_PAUSE).await;
        }
    }

    /// Some images of the index, the one first that was read longest ago; none where it does not answer.
    async fn least_recently_accessed(&self) -> Vec<String> {
        let asked = timeout(INDEX_TIMEOUT, async {
            self.hits.write(&*self.index).await;
            self.index.least_recently_accessed(CANDIDATES).await
        });
        match asked.await {
            Ok(Ok(ids)) => return ids,
            Ok(Err(error)) => self.warn_of_index(&error.into()),
            Err(_) => self.warn_of_index(&no_answer()),
        }
        Vec::new()
    }
}

impl Claim {
    /// Takes as much of `free` bytes as is of use, at once, so that a full disk shows now; how much.
    async fn set_aside(&self, layout: &Layout, free: u64) -> io::Result<u64> {
        let Some((file, from)) = self.place.clone() else { return Ok(0) };
        let (least, most) = (self.least, self.most.min(free).max(self.least));
        let layout = layout.clone();
        blocking(move || match layout.set_aside(&file, from, most) {
            // The disk has less than the cache may take.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && least < most => {
                layout.set_aside(&file, from, least).map(|()| least)
            }
            taken => taken.map(|()| most),
        })
        .await
    }
}

/// Evictions until there is room, in rounds.
struct Eviction {
    claim: Claim,
    /// Images that may go, the one first that was read longest ago.
    candidates: VecDeque<String>,
    /// How many images had gone when the index was asked for candidates last; `None`: it was not asked yet.
    gone_before: Option<u64>,
    /// There are no other candidates: all files of the directory are or were among them.
    has_listed_all: bool,
    pruned: Pruned,
    /// What is no longer there, though the index has it.
    gone: Vec<String>,
}

impl Eviction {
    fn new(claim: Claim) -> Self {
        let (candidates, gone) = (VecDeque::new(), Vec::new());
        Self { claim, candidates, gone_before: None, has_listed_all: false, pruned: Pruned::default(), gone }
    }

    /// Sees what may go, where something seems to have to. Before the lock is taken: others are not to wait for the index.
    async fn look_for_candidates(&mut self, inner: &Inner) -> Result<(), Error> {
        let is_done = !self.candidates.is_empty() || self.has_listed_all;
        if is_done || self.free(inner, usage(inner, false).await?).is_some() {
            return Ok(());
        }
        if self.gone_before.replace(self.pruned.files) != Some(self.pruned.files) {
            self.candidates = inner.least_recently_accessed().await.into();
        }
        if self.candidates.is_empty() {
            // Nothing of what the index told could go. The file system knows all files, and roughly when they were read.
            let layout = inner.layout.clone();
            let mut files = blocking(move || layout.images()).await?;
            files.sort_by(|a, b| (a.accessed, &a.image_id).cmp(&(b.accessed, &b.image_id)));
            self.candidates = files.into_iter().map(|file| file.image_id).collect();
            self.has_listed_all = true;
        }
        Ok(())
    }

    /// Removes what is useless, and then images, until there is room, which it takes, or enough is done for one round.
    async fn round(&mut self, inner: &Inner) -> Result<Outcome, Error> {
        let already = self.pruned.files;
        let mut usage = usage(inner, false).await?;
        if self.free(inner, usage).is_none() {
            usage = self::usage(inner, true).await?;
        }
        // From here on, so that each round tries one image at least.
        let end = Instant::now() + ROUND_TIME;
        loop {
            if let Some(free) = self.free(inner, usage) {
                // Under the lock: others are to see that it is taken.
                return Ok(Outcome::Fits(self.claim.set_aside(&inner.layout, free).await?));
            }
            // No other image makes way in vain for one that does not fit beside what is being written.
            if self.claim.least > inner.options.max_size.saturating_sub(usage.incomplete) {
                return Ok(Outcome::Full);
            }
            if self.pruned.files - already >= ROUND || Instant::now() >= end {
                return Ok(Outcome::More);
            }
            let Some(id) = self.candidates.pop_front() else {
                return Ok(if self.has_listed_all { Outcome::Full } else { Outcome::More });
            };
            usage.total = usage.total.saturating_sub(self.evict(inner, id).await);
        }
    }

    /// Bytes that are free, if they are enough.
    fn free(&self, inner: &Inner, usage: Usage) -> Option<u64> {
        inner.options.max_size.checked_sub(usage.total).filter(|free| *free >= self.claim.least)
    }

    /// Removes an image unless somebody reads it; the bytes that are free now.
    async fn evict(&mut self, inner: &Inner, id: String) -> u64 {
        let (layout, name) = (inner.layout.clone(), id.clone());
        match blocking(move || layout.evict(&name)).await {
            Ok(Evicted::Removed(bytes)) => {
                tracing::debug!(image_id = id, bytes, "evicted from the image cache");
                self.pruned.files += 1;
                self.pruned.bytes += bytes;
                add(&inner.counters.evictions, 1);
                inner.counters.bytes_evicted.fetch_add(bytes, Ordering::Relaxed);
                self.gone.push(id);
                bytes
            }
            Ok(Evicted::Absent) => {
                self.gone.push(id);
                0
            }
            Ok(Evicted::InUse) => 0,
            Err(error) => {
                if inner.warnings.may_tell_of_file(&id, Oddity::Stuck) {
                    tracing::warn!(image_id = id, %error, "a cached image cannot be evicted");
                }
                0
            }
        }
    }

    /// Tells the index. Where that fails, housekeeping finds it out; the files are gone, and the room is there.
    async fn forget_evicted(&mut self, inner: &Inner) {
        let gone = std::mem::take(&mut self.gone);
        if gone.is_empty() {
            return;
        }
        match timeout(INDEX_TIMEOUT, inner.forget(gone)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => inner.warn_of_index(&error),
            Err(_) => inner.warn_of_index(&no_answer()),
        }
    }
}

/// Bytes in the cache. `clean`: after what is of no use to anybody is removed: invalid files, and those of dead writers.
async fn usage(inner: &Inner, clean: bool) -> Result<Usage, Error> {
    let layout: Layout = inner.layout.clone();
    Ok(blocking(move || {
        if clean {
            let all = SystemTime::now() + super::housekeeping::CLOCK_SKEW;
            layout.remove_stalled(all)?;
            layout.remove_invalid(all)?;
        }
        layout.usage()
    })
    .await?)
}

/// Of an index that was waited for.
fn no_answer() -> Error {
    IndexError::NoAnswer.into()
}
