//! Images that are fetched before anybody reads them (upstream: `glance/image_cache/prefetcher.py`).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::stream::{self, FuturesUnordered, StreamExt as _};

use super::Cache;
use super::blocking::blocking;
use super::error::Error;
use super::fill::Progress;
use super::filling::join;
use super::inner::Inner;
use super::layout::is_id;
use super::request::FillRequest;
use crate::image::{self, Images, Status, Viewer};

/// Images that one process fetches at the same time.
const AT_ONCE: usize = 4;

/// Held by who fulfils what is queued. Should that be cut off, by a panic or by the end of its runtime, the next who asks begins anew.
struct Turn {
    inner: Arc<Inner>,
    /// It was given up under the lock, and may be another's by now.
    is_over: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.prefetching().is_running = false;
        }
    }
}

/// What became of the images that were queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub tried: u64,
    pub fetched: u64,
}

impl Cache {
    /// Brings an image into the cache and waits for it. False, with a word in the log: there is none, it is not active, or it cannot be had.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn fetch(&self, images: &Images, id: &str) -> Result<bool, image::Error> {
        let everybody = Viewer { project: None, is_admin: true };
        let image = match images.get(&everybody, id).await {
            Ok(image) => image,
            Err(image::Error::NotFound(_)) => {
                tracing::warn!(image_id = id, "Image '{id}' not found");
                self.delete_queued(id).await.unwrap_or_else(|error| self.inner.warn(id, &error));
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
        let wanted = FillRequest { images: images.clone(), caller: None, image: Arc::new(image) };
        let mut progress = join(&self.inner, &wanted);
        // Its sender goes when the image is in the cache, or is known not to come into it.
        let ended = async { while progress.changed().await.is_ok() {} };
        let has_ended = tokio::select! {
            () = ended => true,
            () = self.inner.stopping.cancelled() => false,
        };
        let mut is_cached = has_ended && matches!(*progress.borrow(), Progress::Whole { .. });
        drop(progress);
        if !has_ended {
            tracing::info!(image_id = id, "stopping; a queued image is fetched after the next start");
            return Ok(false);
        }
        if is_cached {
            // It may have been kept from the cache at its end. And where it was there before, it is queued still.
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
    pub(crate) fn fetch_soon(&self, images: &Images, id: &str) {
        {
            let mut prefetching = self.inner.prefetching();
            prefetching.failed.remove(id);
            prefetching.is_asked = true;
            if std::mem::replace(&mut prefetching.is_running, true) {
                self.inner.asked_to_prefetch.notify_one();
                return;
            }
            (prefetching.fetched, prefetching.ended, prefetching.total) = (0, 0, 0);
        }
        let turn = Turn { inner: Arc::clone(&self.inner), is_over: false };
        let (cache, own, stopping) = (self.clone(), images.clone(), self.inner.stopping.clone());
        self.inner.work.spawn(async move {
            tokio::select! {
                // First, so that it says what it leaves to the next start.
                biased;
                () = cache.run_prefetching(&own, turn) => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Fetches all that is queued, and waits for it. What cannot be had stays queued, unless there is no such image.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn fetch_queued(&self, images: &Images) -> Result<Fetched, Error> {
        let queued = self.queued().await?;
        let tried = queued.len() as u64;
        let fetched = stream::iter(queued)
            .map(|id| async move { u64::from(self.fetch_or_warn(images, &id).await) })
            .buffer_unordered(AT_ONCE)
            .fold(0, |sum, one| std::future::ready(sum + one))
            .await;
        Ok(Fetched { tried, fetched })
    }

    /// How many of the queued images have been fetched, and how many there are, while it goes on.
    pub(crate) fn fetching(&self) -> Option<(u64, u64)> {
        let prefetching = self.inner.prefetching();
        prefetching.is_running.then_some((prefetching.fetched, prefetching.total))
    }

    /// Fetches what is queued, a few at a time, until nothing is left that could be had.
    async fn run_prefetching(&self, images: &Images, mut turn: Turn) {
        let inner = &self.inner;
        let (mut going, mut ids_going) = (FuturesUnordered::new(), HashSet::new());
        let (mut waiting, mut is_asked) = (VecDeque::new(), true);
        loop {
            if is_asked || waiting.is_empty() {
                inner.prefetching().is_asked = false;
                let queued = self.queued().await.unwrap_or_else(|error| {
                    inner.warn_of_index(&error);
                    Vec::new()
                });
                let mut prefetching = inner.prefetching();
                let there: HashSet<&String> = queued.iter().collect();
                prefetching.failed.retain(|id| there.contains(id));
                let is_new = |id: &String| !prefetching.failed.contains(id) && !ids_going.contains(id);
                waiting = queued.into_iter().filter(is_new).collect();
                prefetching.total = prefetching.ended + (ids_going.len() + waiting.len()) as u64;
                if waiting.is_empty() && ids_going.is_empty() && !prefetching.is_asked {
                    // Under the lock, so that whoever queues now begins anew.
                    prefetching.is_running = false;
                    turn.is_over = true;
                    return;
                }
            }
            if inner.stopping.is_cancelled() {
                return;
            }
            while ids_going.len() < AT_ONCE
                && let Some(id) = waiting.pop_front()
            {
                ids_going.insert(id.clone());
                going.push(async move { (self.fetch_or_warn(images, &id).await, id) });
            }
            is_asked = tokio::select! {
                Some((is_fetched, id)) = going.next() => {
                    ids_going.remove(&id);
                    inner.prefetching().end(id, is_fetched);
                    false
                }
                () = inner.asked_to_prefetch.notified() => true,
            };
        }
    }

    async fn fetch_or_warn(&self, images: &Images, id: &str) -> bool {
        self.fetch(images, id).await.unwrap_or_else(|error| {
            tracing::warn!(image_id = id, %error, "a queued image cannot be fetched");
            false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CancellationToken, Config, TaskTracker};
    use super::*;

    #[tokio::test]
    async fn a_turn_that_ends_in_a_panic_is_anybodys() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.default.image_cache_dir = folder.path().to_str().map(str::to_owned);
        config.default.image_cache_driver = "sqlite".to_owned();
        let cache = Cache::open(&config, None, TaskTracker::new(), CancellationToken::new()).await.unwrap().unwrap();
        for (is_over, is_free) in [(false, true), (true, false)] {
            cache.inner.prefetching().is_running = true;
            let turn = Turn { inner: Arc::clone(&cache.inner), is_over };
            let ended = tokio::spawn(async move {
                let _turn = turn;
                panic!("while an image is fetched");
            });
            assert!(ended.await.unwrap_err().is_panic());
            assert_eq!(cache.fetching().is_none(), is_free);
        }
    }
}
