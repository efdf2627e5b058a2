//! Room for images: what was read longest ago makes way, what is being read stays.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use nix::fcntl::{FallocateFlags, fallocate};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep, timeout};

use super::blocking::blocking;
use super::inner::Inner;
use super::layout::{Evicted, Layout};
use super::stats::add;
use crate::cache::Error;

/// How long other processes of this host are waited for that make room just now.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Images that are evicted in one round at most. Between two rounds others have their turn.
const ROUND: u32 = 64;

/// Rounds of one eviction, however much comes into the cache meanwhile.
const MOST_ROUNDS: u32 = 10_000;

/// How long the index is waited for, which may be a database that is away.
const INDEX_TIMEOUT: Duration = Duration::from_secs(2);

/// Images that had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// What a round of evictions has come to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// There is room.
    Fits,
    /// There is none yet; the next round may find some.
    More,
    /// There is none.
    Full,
}

/// Kept while room is made: one process and one task of it does so at a time. Only work on files is done meanwhile.
struct RoomLock<'a> {
    _process: MutexGuard<'a, ()>,
    _host: File,
}

impl Inner {
    /// Sets aside `bytes` of room for a file that is being written, from its byte `from` on. False: there is no room.
    ///
    /// # Errors
    /// Those of the directory; `TimedOut` where others make room for too long.
    pub(super) async fn reserve(&self, file: &Arc<File>, from: u64, bytes: u64) -> Result<bool, Error> {
        let target = Arc::clone(file);
        let set_aside = move || {
            let target = Arc::clone(&target);
            blocking(move || set_aside(&target, from, bytes))
        };
        if !self.options.is_enforced {
            set_aside().await?;
            return Ok(true);
        }
        if bytes > self.options.max_size {
            return Ok(false);
        }
        for _ in 0..MOST_ROUNDS {
            let mut round = Round::prepare(self, bytes).await?;
            let outcome = {
                let _lock = self.lock_room().await?;
                let outcome = round.run(self).await?;
                if outcome == Outcome::Fits {
                    // Under the lock: others are to see that it is taken.
                    set_aside().await?;
                }
                outcome
            };
            round.forget_evicted(self).await;
            if outcome != Outcome::More {
                return Ok(outcome == Outcome::Fits);
            }
        }
        Ok(false)
    }

    /// Removes images until the cache is not larger than it may be. Downloads that need room have their turn in between.
    ///
    /// # Errors
    /// Those of the directory; `TimedOut` where others make room for too long.
    pub(super) async fn prune(&self) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for _ in 0..MOST_ROUNDS {
            let mut round = Round::prepare(self, 0).await?;
            let outcome = {
                let _lock = self.lock_room().await?;
                round.run(self).await?
            };
            round.forget_evicted(self).await;
            pruned.files += round.pruned.files;
            pruned.bytes += round.pruned.bytes;
            if outcome != Outcome::More {
                return Ok(pruned);
            }
            // Other processes look for the lock at such intervals.
            sleep(2 * LOCK_PAUSE).await;
        }
        Ok(pruned)
    }

    async fn lock_room(&self) -> Result<RoomLock<'_>, Error> {
        let process = self.room.lock().await;
        Ok(RoomLock { _process: process, _host: self.lock_host().await? })
    }

    /// Keeps other processes of this host from making room at the same time.
    async fn lock_host(&self) -> io::Result<File> {
        let layout = self.layout.clone();
        let folder = blocking(move || File::open(layout.base())).await?;
        let end = Instant::now() + LOCK_TIMEOUT;
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(LOCK_PAUSE).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another process makes room for too long"));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Some images of the index, the one first that was read longest ago; none where it does not answer.
    async fn least_recently_accessed(&self) -> Vec<String> {
        let asked = timeout(INDEX_TIMEOUT, async {
            self.hits.write(&*self.index).await;
            self.index.least_recently_accessed(ROUND).await
        });
        match asked.await {
            Ok(Ok(ids)) => return ids,
            Ok(Err(error)) => tracing::warn!(%error, "the image cache makes room without its index"),
            Err(_) => tracing::warn!("the image cache makes room without its index, which does not answer"),
        }
        Vec::new()
    }
}

/// Evictions under one lock.
#[derive(Default)]
struct Round {
    /// Bytes that there must be room for.
    need: u64,
    /// The images that the index would see go first. `None`: it seemed that none need go.
    candidates: Option<Vec<String>>,
    pruned: Pruned,
    /// What is no longer there, though the index has it.
    gone: Vec<String>,
}

impl Round {
    /// Asks the index before the lock is taken: others are not to wait for it.
    async fn prepare(inner: &Inner, need: u64) -> Result<Self, Error> {
        let is_full = usage(inner, false).await?.saturating_add(need) > inner.options.max_size;
        let candidates = if is_full { Some(inner.least_recently_accessed().await) } else { None };
        Ok(Self { need, candidates, ..Self::default() })
    }

    /// Removes what is useless, and then images, until there is room or enough is done for one round.
    async fn run(&mut self, inner: &Inner) -> Result<Outcome, Error> {
        let need = self.need;
        let mut usage = usage(inner, false).await?;
        let fits = |usage: u64| usage.saturating_add(need) <= inner.options.max_size;
        if fits(usage) {
            return Ok(Outcome::Fits);
        }
        usage = self::usage(inner, true).await?;
        if fits(usage) {
            return Ok(Outcome::Fits);
        }
        // Others have taken the room in between.
        let Some(candidates) = self.candidates.take() else { return Ok(Outcome::More) };
        for id in candidates {
            usage = usage.saturating_sub(self.evict(inner, id).await);
            if fits(usage) {
                return Ok(Outcome::Fits);
            }
        }
        if self.pruned.files > 0 {
            return Ok(Outcome::More);
        }
        // Nothing of what the index told could go. The file system knows all files, and roughly when they were read.
        let layout = inner.layout.clone();
        let mut files = blocking(move || layout.images()).await?;
        files.sort_by(|a, b| (a.accessed, &a.image_id).cmp(&(b.accessed, &b.image_id)));
        for file in files {
            usage = usage.saturating_sub(self.evict(inner, file.image_id).await);
            if fits(usage) {
                return Ok(Outcome::Fits);
            }
            if self.pruned.files >= u64::from(ROUND) {
                return Ok(Outcome::More);
            }
        }
        Ok(Outcome::Full)
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
                if inner.is_first_warning(&id) {
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
        match timeout(INDEX_TIMEOUT, inner.index.remove(&gone)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, images = gone.len(), "evicted images stay in the index for now"),
            Err(_) => tracing::warn!(images = gone.len(), "evicted images stay in the index for now"),
        }
    }
}

/// Bytes in the cache. `clean`: after what is of no use to anybody is removed: invalid files, and those of dead writers.
async fn usage(inner: &Inner, clean: bool) -> Result<u64, Error> {
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

/// Takes blocks from the disk without changing the file's length: others see them, and a full disk shows now.
fn set_aside(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    let (Ok(from), Ok(length)) = (i64::try_from(from), i64::try_from(bytes)) else {
        return Err(io::ErrorKind::FileTooLarge.into());
    };
    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, from, length) {
        // Not every file system can.
        Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
