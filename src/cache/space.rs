//! Room for images: what was read longest ago makes way, what is being read stays.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use nix::fcntl::{FallocateFlags, fallocate};
use tokio::time::{Instant, sleep};

use super::blocking::blocking;
use super::inner::Inner;
use super::layout::{Begun, Layout, OnDisk};
use super::stats::add;
use crate::cache::Error;

/// How long other processes of this host are waited for that make room just now.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Images that had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub files: u64,
    pub bytes: u64,
}

impl Inner {
    /// Asks to write an image, and sets aside the room that it needs. `None`: there is no room.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn begin(&self, id: &str, size: Option<u64>) -> Result<Option<Begun>, Error> {
        let _room = self.room.lock().await;
        let _host = self.lock_host().await?;
        let (layout, name) = (self.layout.clone(), id.to_owned());
        let begun = blocking(move || layout.begin(&name)).await?;
        let Begun::Mine(file) = begun else { return Ok(Some(begun)) };
        let need = size.unwrap_or(0);
        let has_room = !self.options.is_enforced || self.make_room(need).await?.1;
        let (layout, name) = (self.layout.clone(), id.to_owned());
        Ok(blocking(move || {
            let set_aside = if has_room { set_aside(&file, need) } else { Ok(()) };
            if !has_room || set_aside.is_err() {
                layout.abandon(&name, &file)?;
                return set_aside.map(|()| None);
            }
            Ok(Some(Begun::Mine(file)))
        })
        .await?)
    }

    /// Removes images until the cache is not larger than it may be.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn prune(&self) -> Result<Pruned, Error> {
        let _room = self.room.lock().await;
        let _host = self.lock_host().await?;
        Ok(self.make_room(0).await?.0)
    }

    /// Removes images until there is room for this many bytes more; what went, and whether there is.
    async fn make_room(&self, need: u64) -> Result<(Pruned, bool), Error> {
        let mut pruned = Pruned::default();
        let layout = self.layout.clone();
        let mut usage = blocking(move || layout.usage()).await?;
        let fits = |usage: u64| usage.saturating_add(need) <= self.options.max_size;
        if fits(usage) || need > self.options.max_size {
            return Ok((pruned, fits(usage)));
        }
        // What dead writers have left goes first. Nobody is about to lock such a file: who begins one holds the lock of the host.
        let layout = self.layout.clone();
        usage = blocking(move || {
            layout.remove_stalled(SystemTime::now() + PATIENCE)?;
            layout.usage()
        })
        .await?;
        if fits(usage) {
            return Ok((pruned, true));
        }
        for image in self.by_last_access().await? {
            let (layout, name) = (self.layout.clone(), image.image_id.clone());
            let bytes = match blocking(move || layout.evict(&name)).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    if self.is_news(&image.image_id) {
                        tracing::warn!(image_id = image.image_id, %error, "a cached image cannot be evicted");
                    }
                    continue;
                }
            };
            if let Err(error) = self.index.remove(&image.image_id).await {
                // It is brought to order later; the file is gone, and the room is there.
                tracing::warn!(image_id = image.image_id, %error, "an evicted image stays in the index for now");
            }
            if bytes > 0 {
                tracing::debug!(image_id = image.image_id, bytes, "evicted from the image cache");
            }
            usage = usage.saturating_sub(bytes);
            pruned.files += 1;
            pruned.bytes += bytes;
            add(&self.counters.evictions, 1);
            self.counters.bytes_evicted.fetch_add(bytes, Ordering::Relaxed);
            if fits(usage) {
                return Ok((pruned, true));
            }
        }
        Ok((pruned, fits(usage)))
    }

    /// The cached images, the one first that was read longest ago.
    async fn by_last_access(&self) -> Result<Vec<OnDisk>, Error> {
        self.hits.write(&*self.index).await;
        let layout = self.layout.clone();
        let mut files = blocking(move || layout.images()).await?;
        // Without the index, which may be a database that is away, the file system knows roughly.
        match self.index.list().await {
            Ok(entries) => {
                let known: std::collections::HashMap<_, _> =
                    entries.into_iter().map(|entry| (entry.image_id, entry.last_accessed)).collect();
                for file in &mut files {
                    file.accessed = known.get(&file.image_id).map_or(file.modified, |time| (*time).into());
                }
            }
            Err(error) => tracing::warn!(%error, "the image cache makes room without its index"),
        }
        files.sort_by(|a, b| (a.accessed, &a.image_id).cmp(&(b.accessed, &b.image_id)));
        Ok(files)
    }

    /// Keeps other processes of this host from making room at the same time. When they take long, it is done all the same: at
    /// worst more is removed than is needed.
    async fn lock_host(&self) -> Result<Option<File>, Error> {
        let layout = self.layout.clone();
        let folder = blocking(move || open_folder(&layout)).await?;
        let end = Instant::now() + PATIENCE;
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(Some(folder)),
                Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(PAUSE).await,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

fn open_folder(layout: &Layout) -> io::Result<File> {
    File::open(layout.base())
}

/// Takes blocks from the disk without changing the file's length: others see them, and a full disk shows now.
fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    let Ok(length) = i64::try_from(bytes) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        // Not every file system can.
        Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
