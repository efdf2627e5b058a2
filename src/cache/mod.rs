//! The image cache: images on a local disk, in front of slow or distant stores (upstream: `glance/image_cache/`).
//!
//! Its directory and its three kinds of index are upstream's, so that either can go on with what the other has left. An image comes
//! in when somebody reads it ([`Cache::read`]) or an operator queues it ([`Cache::fetch`]). However many read it meanwhile, in
//! however many processes of this host, its store is read once: one writes, the others read the growing file behind it.

mod blocking;
mod error;
mod fill;
mod filling;
mod hits;
mod index;
mod inner;
mod layout;
mod prefetch;
mod reading;
mod space;
mod stats;
mod totals;
mod upkeep;

use std::sync::Arc;

use crate::config::Config;
use crate::db::Db;

pub use error::{Error, SetupError};
pub use prefetch::Fetched;
pub(crate) use reading::Cached;
pub use space::Pruned;
pub use stats::Stats;
pub use totals::totals_of_host;
pub use upkeep::Cleaned;

use blocking::blocking;
use index::Entry;
use inner::{Inner, Options};
use layout::{Layout, is_id};

/// The image cache of this host. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

/// A cached image, as operators are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedImage {
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
    /// # Errors
    /// A directory or an index that cannot be used.
    pub async fn open(config: &Config, db: Option<&Db>) -> Result<Option<Self>, SetupError> {
        let Some(options) = Options::read(config) else { return Ok(None) };
        let directory = options.directory().to_owned();
        let path = directory.display().to_string();
        let layout = blocking(move || Layout::create(&directory)).await;
        let layout = layout.map_err(|source| SetupError::Directory { path, source })?;
        let index = index::open(config, db, &layout).await?;
        Ok(Some(Self { inner: Arc::new(Inner::new(layout, index, options)) }))
    }

    /// Whether these options would make the same cache, so that a reload can keep it (with the same database).
    pub fn is_made_from(&self, config: &Config) -> bool {
        Options::read(config).is_some_and(|options| options == self.inner.options)
    }

    /// The images in the cache, in upstream's order.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn cached(&self) -> Result<Vec<CachedImage>, Error> {
        self.inner.hits.write(&*self.inner.index).await;
        Ok(self.inner.index.list().await?.into_iter().map(CachedImage::from).collect())
    }

    /// The images that are queued, oldest first.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn queued(&self) -> Result<Vec<String>, Error> {
        let layout = self.inner.layout.clone();
        Ok(blocking(move || layout.queued()).await?)
    }

    /// Whether an image is in the cache.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn is_cached(&self, id: &str) -> Result<bool, Error> {
        self.ask(id, |layout, id| layout.image(id).try_exists()).await
    }

    /// Whether an image is queued.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn is_queued(&self, id: &str) -> Result<bool, Error> {
        self.ask(id, Layout::is_queued).await
    }

    /// Queues an image. False: it is cached, on its way into the cache or queued already, or no image has such an id.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn queue(&self, id: &str) -> Result<bool, Error> {
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
    pub async fn delete_cached(&self, id: &str) -> Result<(), Error> {
        self.ask(id, Layout::remove).await?;
        Ok(self.inner.index.remove(id).await?)
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
    pub async fn delete_all_cached(&self) -> Result<u64, Error> {
        let layout = self.inner.layout.clone();
        let removed = blocking(move || {
            let mut removed = 0;
            for image in layout.images()? {
                removed += u64::from(layout.remove(&image.image_id)?);
            }
            Ok(removed)
        });
        let removed = removed.await?;
        self.inner.index.clear().await?;
        Ok(removed)
    }

    /// Takes an image out of the queue; fine where it is not there.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn delete_queued(&self, id: &str) -> Result<(), Error> {
        self.ask(id, Layout::unqueue).await?;
        Ok(())
    }

    /// Empties the queue; how many images were in it.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn delete_all_queued(&self) -> Result<u64, Error> {
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
    pub async fn nodes(&self, id: &str) -> Result<Vec<String>, Error> {
        Ok(self.inner.index.nodes(id).await?)
    }

    /// Whether the driver is `centralized_db`.
    pub fn is_central(&self) -> bool {
        self.inner.index.is_central()
    }

    /// What the cache of this process has done.
    pub fn stats(&self) -> Stats {
        self.inner.counters.read()
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
