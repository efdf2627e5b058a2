//! Hits on their way to the index. Two hundred readers of one image are one update of one row.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::index::Index;

/// Hits that the index does not know of yet.
#[derive(Debug, Default)]
pub(super) struct Hits {
    waiting: Mutex<Waiting>,
    /// Held by whoever writes, so that who waits for it knows that all is written.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    images: HashMap<String, (u64, Option<OffsetDateTime>)>,
    /// Somebody is going to write them.
    is_writing: bool,
}

/// Hits that are being written. Where that is cut short, the rest waits for the next who writes.
struct Taken<'a> {
    hits: &'a Hits,
    images: Vec<(String, (u64, Option<OffsetDateTime>))>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut waiting = self.hits.lock();
        for (id, (hits, last)) in self.images.drain(..) {
            let noted = waiting.images.entry(id).or_default();
            *noted = (noted.0 + hits, noted.1.max(last));
        }
    }
}

impl Hits {
    /// Notes a hit. True: the caller is to see to it that [`Self::write`] is called.
    pub(super) fn note(&self, id: &str) -> bool {
        let mut waiting = self.lock();
        let (count, last) = waiting.images.entry(id.to_owned()).or_default();
        *count += 1;
        *last = Some(OffsetDateTime::now_utc());
        !std::mem::replace(&mut waiting.is_writing, true)
    }

    /// Writes all that was noted before this call; what is noted meanwhile is another's. What the index does not take is lost: it is
    /// a counter.
    pub(super) async fn write(&self, index: &dyn Index) {
        let _writing = self.writing.lock().await;
        let images = {
            let mut waiting = self.lock();
            waiting.is_writing = false;
            std::mem::take(&mut waiting.images)
        };
        let mut taken = Taken { hits: self, images: images.into_iter().collect() };
        while let Some((id, (hits, at))) = taken.images.pop() {
            let at = at.unwrap_or_else(OffsetDateTime::now_utc);
            if let Err(error) = index.count(&id, hits, at).await {
                tracing::debug!(image_id = id, %error, "hits of a cached image could not be counted");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
