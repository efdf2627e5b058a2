//! Images that are fetched before anybody reads them (upstream: `glance/image_cache/prefetcher.py`).

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::Cache;
use super::blocking::blocking;
use super::error::Error;
use super::fill::Progress;
use super::filling::{Wanted, join};
use super::layout::is_id;
use crate::image::{self, Images, Status, Viewer};

/// Images that one process fetches at the same time.
const AT_ONCE: usize = 4;

/// What became of the images that were queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub tried: u64,
    pub fetched: u64,
}

impl Cache {
    /// Brings an image into the cache and waits for it. False, with a word in the log: there is none, it is not active, or it cannot be had.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch(&self, images: &Images, id: &str) -> Result<bool, image::Error> {
        let everybody = Viewer { project: None, is_admin: true };
        let image = match images.get(&everybody, id).await {
            Ok(image) => image,
            Err(image::Error::NotFound(_)) => {
                tracing::warn!(image_id = id, "Image '{id}' not found");
                self.delete_queued(id).await.unwrap_or_else(|error| self.inner.complain(id, &error));
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        if image.status != Status::Active {
            tracing::warn!(image_id = id, "Image '{id}' is not active. Not caching.");
            return Ok(false);
        }
        if !is_id(id) {
            return Ok(false);
        }
        let wanted = Wanted { images: images.clone(), caller: None, image: Arc::new(image) };
        let mut progress = join(&self.inner, &wanted);
        let ended =
            progress.wait_for(|progress| matches!(progress, Progress::Whole { .. } | Progress::Failed(_))).await;
        let mut is_cached = ended.is_ok_and(|progress| matches!(*progress, Progress::Whole { .. }));
        drop(progress);
        if is_cached {
            // It may have been kept from the cache at its end. And where it was there before, nobody has taken the wish away.
            let (layout, name) = (self.inner.layout.clone(), id.to_owned());
            let settled =
                blocking(move || Ok(layout.image(&name).try_exists()? && layout.unqueue(&name).map(|_| true)?));
            is_cached = settled.await.unwrap_or(false);
        }
        if !is_cached {
            tracing::warn!(image_id = id, "Image '{id}' could not be cached");
        }
        Ok(is_cached)
    }

    /// Fetches a queued image soon, behind others that are queued.
    pub fn fetch_soon(&self, images: &Images, id: &str) {
        {
            let mut wishes = self.inner.wishes();
            wishes.failed.remove(id);
            if std::mem::replace(&mut wishes.is_served, true) {
                return;
            }
            (wishes.fetched, wishes.total) = (0, 0);
        }
        let (cache, images) = (self.clone(), images.clone());
        tokio::spawn(async move { cache.serve_wishes(&images).await });
    }

    /// Fetches all that is queued, and waits for it. What cannot be had stays queued, unless there is no such image.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn fetch_queued(&self, images: &Images) -> Result<Fetched, Error> {
        let queued = self.queued().await?;
        let tried = queued.len() as u64;
        let fetched = stream::iter(queued)
            .map(|id| async move { u64::from(self.fetch_or_say(images, &id).await) })
            .buffer_unordered(AT_ONCE)
            .fold(0, |sum, one| std::future::ready(sum + one))
            .await;
        Ok(Fetched { tried, fetched })
    }

    /// How many of the queued images have been fetched, and how many there are, while it goes on.
    pub fn fetching(&self) -> Option<(u64, u64)> {
        let wishes = self.inner.wishes();
        wishes.is_served.then_some((wishes.fetched, wishes.total))
    }

    /// Fetches what is queued until nothing is left that could be had.
    async fn serve_wishes(&self, images: &Images) {
        loop {
            let queued = self.queued().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "queued images cannot be fetched");
                Vec::new()
            });
            let next: Vec<String> = {
                let mut wishes = self.inner.wishes();
                let next: Vec<String> = queued.into_iter().filter(|id| !wishes.failed.contains(id)).collect();
                wishes.total += next.len() as u64;
                // Under the lock, so that whoever queues now begins anew.
                wishes.is_served = !next.is_empty();
                next
            };
            if next.is_empty() {
                return;
            }
            stream::iter(next)
                .for_each_concurrent(AT_ONCE, |id| async move {
                    let is_fetched = self.fetch_or_say(images, &id).await;
                    let mut wishes = self.inner.wishes();
                    if is_fetched {
                        wishes.fetched += 1;
                    } else {
                        wishes.failed.insert(id);
                    }
                })
                .await;
        }
    }

    async fn fetch_or_say(&self, images: &Images, id: &str) -> bool {
        self.fetch(images, id).await.unwrap_or_else(|error| {
            tracing::warn!(image_id = id, %error, "a queued image cannot be fetched");
            false
        })
    }
}
