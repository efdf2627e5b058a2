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

impl Hits {
    /// Notes a hit. True: the caller is to see to it that [`Self::write`] is called.
    pub(super) fn note(&self, id: &str) -> bool {
        let mut waiting = self.lock();
        let (count, last) = waiting.images.entry(id.to_owned()).or_default();
        *count += 1;
        *last = Some(OffsetDateTime::now_utc());
        !std::mem::replace(&mut waiting.is_writing, true)
    }

    /// Writes all that is noted. What the index does not take is lost: it is a counter.
    pub(super) async fn write(&self, index: &dyn Index) {
        let _writing = self.writing.lock().await;
        loop {
            let images = {
                let mut waiting = self.lock();
                if waiting.images.is_empty() {
                    waiting.is_writing = false;
                    return;
                }
                std::mem::take(&mut waiting.images)
            };
            for (id, (hits, at)) in images {
                let at = at.unwrap_or_else(OffsetDateTime::now_utc);
                if let Err(error) = index.count(&id, hits, at).await {
                    tracing::debug!(image_id = id, %error, "hits of a cached image could not be counted");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
