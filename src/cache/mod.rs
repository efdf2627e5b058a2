//! The image cache: images on a local disk, in front of slow or distant stores (upstream: `glance/image_cache/`).
//!
//! Its directory and its three kinds of index are upstream's, so that either can go on with what the other has left. An image comes
//! in when somebody reads it ([`Cache::read`]) or an operator queues it ([`Cache::fetch`]). However many read it meanwhile, in
//! however many processes of this host, its store is read once: one writes, the others read the growing file behind it.

mod blocking;
mod bookkeeping;
mod error;
mod eviction;
mod fill;
mod filling;
mod hits;
mod housekeeping;
mod index;
mod inner;
mod layout;
mod life;
mod prefetch;
mod reading;
mod request;
mod stats;
mod totals;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::db::Db;

pub(crate) use error::{Error, SetupError};
pub(crate) use reading::Cached;
pub(crate) use stats::Stats;
pub(crate) use totals::totals_of_host;

use blocking::{blocking, is_passing};
use index::Entry;
use inner::{Inner, Options};
use layout::{Layout, is_id};

/// How long a list waits for images that are complete and not yet durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The image cache of this host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cache {
    inner: Arc<Inner>,
}

/// A cached image, as operators are told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CachedImage {
    /// The number of its row; with the driver `centralized_db` alone.
    pub id: Option<i64>,
    pub image_id: String,
    /// How often it was read from the cache.
    pub hits: u64,
    /// Seconds since 1970.
    pub last_accessed: f64,
    /// Seconds since 1970.
    pub last_modified: f64,
    /// Bytes.
    pub size: u64,
    /// MD5 in hex; `None` unless another server has written it down.
    pub checksum: Option<String>,
}

impl Cache {
    /// The cache in `image_cache_dir`, with the index of `image_cache_driver`; `None` where no directory is configured. `db`: needed
    /// for the driver `centralized_db`.
    ///
    /// A disk that cannot be written to and a database that does not answer are no errors: the cache begins to work when they do.
    /// `work`: where fills and prefetching are registered, for whose end whoever ends the process waits. `stopping`: cancelled when the
    /// process is to end, which keeps only fills that somebody reads.
    ///
    /// # Errors
    /// A directory or an index that cannot be used.
    pub(crate) async fn open(
        config: &Config,
        db: Option<&Db>,
        work: TaskTracker,
        stopping: CancellationToken,
    ) -> Result<Option<Self>, SetupError> {
        let Some(options) = Options::read(config) else { return Ok(None) };
        let layout = Layout::new(options.directory());
        let create = layout.clone();
        let refused = match blocking(move || create.create_folders()).await {
            Err(error) if is_passing(&error) => Some(error),
            Err(source) => {
                return Err(SetupError::Directory { path: options.directory().display().to_string(), source });
            }
            Ok(()) => None,
        };
        let (index, unprepared) = index::open(config, db, &layout).await?;
        let inner = Inner::new(layout, index, options, work, stopping);
        if let Some(error) = refused {
            inner.warn_of_directory(&error);
        }
        if let Some(error) = unprepared {
            inner.warn_of_index(&error.into());
        }
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// What [`Self::open`] would refuse, as far as it shows without changing or contacting anything. `is_needed`: images are to go
    /// through the cache.
    ///
    /// # Errors
    /// What is missing or wrong in the configuration.
    pub(crate) fn check(config: &Config, is_needed: bool) -> Result<(), SetupError> {
        let Some(options) = Options::read(config) else {
            return if is_needed { Err(SetupError::NoDirectory) } else { Ok(()) };
        };
        let directory = options.directory();
        if std::fs::metadata(directory).is_ok_and(|there| !there.is_dir()) {
            let (path, source) = (directory.display().to_string(), std::io::ErrorKind::NotADirectory.into());
            return Err(SetupError::Directory { path, source });
        }
        match index::node(config) {
            Err(error) if is_needed => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether these options would make the same cache, so that a reload can keep it (with the same database).
    pub(crate) fn is_made_from(&self, config: &Config) -> bool {
        Options::read(config).is_some_and(|options| options == self.inner.options)
    }

    /// The images in the cache, in upstream's order.
    ///
    /// # Errors
    /// Those of the index.
    pub(crate) async fn cached(&self) -> Result<Vec<CachedImage>, Error> {
        let ending = self.inner.fills.ending();
        // Who has just read an image that came into the cache expects to find it here.
        let settled = async {
            for mut fill in ending {
                while fill.changed().await.is_ok() {}
            }
        };
        let _ = timeout(SETTLE_TIMEOUT, settled).await;
        self.inner.hits.write(&*self.inner.index).await;
        Ok(self.inner.index.list().await?.into_iter().map(CachedImage::from).collect())
    }

    /// The images that are queued, oldest first.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn queued(&self) -> Result<Vec<String>, Error> {
        let layout = self.inner.layout.clone();
        Ok(blocking(move || layout.queued()).await?)
    }

    /// Whether an image is in the cache.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn is_cached(&self, id: &str) -> Result<bool, Error> {
        self.ask(id, |layout, id| layout.image(id).try_exists()).await
    }

    /// Whether an image is queued.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn is_queued(&self, id: &str) -> Result<bool, Error> {
        self.ask(id, Layout::is_queued).await
    }

    /// Queues an image. False: it is cached, on its way into the cache or queued already, or no image has such an id.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn queue(&self, id: &str) -> Result<bool, Error> {
        self.ask(id, |layout, id| {
            if layout.image(id).try_exists()? || layout.is_being_written(id)? {
                return Ok(false);
            }
            layout.queue(id)
        })
        .await
    }

    /// Removes an image from the cache, also one that is on its way into it; fine where it is not there. Who reads it just now reads on.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(crate) async fn delete_cached(&self, id: &str) -> Result<(), Error> {
        self.ask(id, Layout::remove).await?;
        self.inner.forget(vec![id.to_owned()]).await
    }

    /// Removes all of an image that no longer exists.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), Error> {
        self.delete_queued(id).await?;
        self.delete_cached(id).await
    }

    /// Removes all images from the cache; how many.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(crate) async fn delete_all_cached(&self) -> Result<u64, Error> {
        let layout = self.inner.layout.clone();
        let removed = blocking(move || {
            let mut removed = 0;
            for image in layout.images()? {
                removed += u64::from(layout.remove(&image.image_id)?);
            }
            Ok(removed)
        });
        let removed = removed.await?;
        self.inner.forget_all().await?;
        Ok(removed)
    }

    /// Takes an image out of the queue; fine where it is not there.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn delete_queued(&self, id: &str) -> Result<(), Error> {
        self.ask(id, Layout::unqueue).await?;
        Ok(())
    }

    /// Empties the queue; how many images were in it.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn delete_all_queued(&self) -> Result<u64, Error> {
        let layout = self.inner.layout.clone();
        Ok(blocking(move || {
            let mut removed = 0;
            for id in layout.queued()? {
                removed += u64::from(layout.unqueue(&id)?);
            }
            Ok(removed)
        })
        .await?)
    }

    /// The nodes whose cache has an image; with the driver `centralized_db` alone.
    ///
    /// # Errors
    /// Those of the index.
    pub(crate) async fn nodes(&self, id: &str) -> Result<Vec<String>, Error> {
        Ok(self.inner.index.nodes(id).await?)
    }

    /// Whether the driver is `centralized_db`.
    pub(crate) fn is_central(&self) -> bool {
        self.inner.index.is_central()
    }

    /// Bytes that the fills that go on have written so far.
    pub(crate) fn bytes_filling(&self) -> u64 {
        self.inner.fills.bytes()
    }

    /// Writes down all that was counted: for the end of the process.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn write_counters(&self) -> Result<(), Error> {
        self.inner.hits.write(&*self.inner.index).await;
        self.write_totals().await
    }

    /// Asks the directory about an image. Nothing is there that no image can be called.
    async fn ask(
        &self,
        id: &str,
        question: impl FnOnce(&Layout, &str) -> std::io::Result<bool> + Send + 'static,
    ) -> Result<bool, Error> {
        if !is_id(id) {
            return Ok(false);
        }
        let (layout, id) = (self.inner.layout.clone(), id.to_owned());
        Ok(blocking(move || question(&layout, &id)).await?)
    }
}

impl From<Entry> for CachedImage {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            image_id: entry.image_id,
            hits: entry.hits,
            last_accessed: index::seconds(entry.last_accessed),
            last_modified: index::seconds(entry.last_modified),
            size: entry.size,
            checksum: entry.checksum,
        }
    }
}

#[cfg(test)]
mod tests;
