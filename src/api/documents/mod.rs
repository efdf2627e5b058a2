//! The JSON documents of requests, read within bounds.
//!
//! A small document is read where it arrives. A larger one takes its share of the memory that the worker has for all of them, and
//! is read, checked and taken apart on a thread of its own, so that the runtime's threads go on serving; few such threads run at a
//! time. Where there is no room, the request waits a while and is then refused with 503; but first those who have a share and send
//! slowly are refused, so that clients who stall cannot keep others out.

mod progress;
mod value;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

pub(in crate::api) use self::progress::Progress;
use self::progress::Waiter;
use self::value::Unread;
use super::domain_errors::{Refusal, of_body};
use super::json::{announces_body, content_length};
use super::{Error, RequestBody};
use crate::sys::heap;

/// Values of one document, the names of members counted as well.
const VALUES_MAX: usize = 65_536;
/// Bytes in memory for each value, beside its text; a list of objects with one member each comes near.
const VALUE_SIZE: usize = 200;
/// Bytes in memory of a document that takes no share and no thread.
const SMALL: usize = 128 << 10;
/// Bytes in memory for all larger documents together.
const SHARED: usize = 128 << 20;
/// Bytes that a permit stands for.
const UNIT: usize = 4 << 10;
/// For room, or for a thread.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes a second below which a client is slow.
const SLOW: usize = 64 << 10;
/// For a client that only begins to send.
const GRACE: Duration = Duration::from_secs(1);

/// Reads documents. Its bounds hold for all requests together.
pub(super) struct Documents {
    memory: Arc<Memory>,
    threads: Arc<Semaphore>,
    patience: Duration,
}

/// What all larger documents together may take.
struct Memory {
    free: Arc<Semaphore>,
    /// Permits of `free` when nobody has any.
    units: usize,
    /// How many requests wait for some.
    waiting: watch::Sender<usize>,
    /// [`SLOW`].
    slow: usize,
}

/// What was read of a document, and its share of the memory. Whoever takes the content out keeps the rest for as long as the content
/// is there: a pattern with `..` would drop it at once.
pub(in crate::api) struct Held<T> {
    pub(in crate::api) content: T,
    _share: Share,
}

impl Documents {
    /// `largest`: the largest limit that [`Documents::read`] will get, in bytes; two such documents have room in any case.
    pub(super) fn new(largest: u64) -> Self {
        let largest = usize::try_from(largest).unwrap_or(usize::MAX / 8);
        let needed = 2 * (largest.next_power_of_two() + VALUES_MAX * VALUE_SIZE);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with(SHARED.max(needed), processors.saturating_sub(1).max(1), PATIENCE, SLOW)
    }

    fn with(memory: usize, threads: usize, patience: Duration, slow: usize) -> Self {
        let units = (memory / UNIT).min(Semaphore::MAX_PERMITS);
        let (free, waiting) = (Arc::new(Semaphore::new(units)), watch::Sender::new(0));
        Self {
            memory: Arc::new(Memory { free, units, waiting, slow }),
            threads: Arc::new(Semaphore::new(threads)),
            patience,
        }
    }

    /// The list or object in the body of a request, as `take` makes it; `None` where there is no body. `limit`: bytes. `take` may
    /// run long if it looks at its [`Progress`] now and then.
    ///
    /// # Errors
    /// 400 for what is not JSON or neither a list nor an object, 413 above the limit or with too many values, 408 when the client
    /// is too slow, 503 when there is no room; else those of `take`.
    pub(in crate::api) async fn read<T: Send + 'static>(
        &self,
        headers: &HeaderMap,
        body: RequestBody,
        limit: u64,
        take: impl FnOnce(Value, &Progress) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<Held<T>>, Error> {
        // HTTP/2 has neither header for a body of unknown length: then what arrives decides.
        let announced = announces_body(headers);
        if content_length(headers) > Some(limit) {
            return Err(Error::too_large(limit));
        }
        let mut share = Share { permit: None, memory: Arc::clone(&self.memory) };
        let text = self.collect(body, limit, &mut share).await?;
        if text.is_empty() && !announced {
            return Ok(None);
        }
        let size = text.len() + VALUE_SIZE * value::count_at_most(&text).min(VALUES_MAX);
        if size <= SMALL {
            let content = take(parse(&text, &Progress::default())?, &Progress::default())?;
            return Ok(Some(Held { content, _share: share }));
        }
        self.grow(&mut share, size).await?;
        let permit = self.acquire(&self.threads, 1).await?;
        let progress = Progress::default();
        let waiter = Waiter(progress.clone());
        // The share goes along: the memory is in use until the work ends, whether or not somebody waits for it.
        let work = spawn_blocking(move || {
            let _permit = permit;
            let content = take(parse(&text, &progress)?, &progress)?;
            Ok(Some(Held { content, _share: share }))
        });
        let done = work.await.map_err(Error::internal)?;
        drop(waiter);
        done
    }

    async fn collect(&self, mut body: RequestBody, limit: u64, share: &mut Share) -> Result<BytesMut, Error> {
        let mut text = BytesMut::new();
        let began = Instant::now();
        loop {
            let has_share = share.permits() > 0;
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = self.memory.is_wanted(began, text.len()), if has_share => return Err(Refusal::Busy.into()),
            };
            let Some(frame) = frame else { return Ok(text) };
            let Ok(data) = frame.map_err(of_body)?.into_data() else { continue };
            let length = text.len() + data.len();
            if length as u64 > limit {
                return Err(Error::too_large(limit));
            }
            if length > SMALL {
                // A buffer that grows is doubled.
                self.grow(share, length.next_power_of_two()).await?;
            }
            text.extend_from_slice(&data);
        }
    }

    /// Makes a share one of at least `size` bytes.
    async fn grow(&self, share: &mut Share, size: usize) -> Result<(), Error> {
        let missing = size.div_ceil(UNIT).saturating_sub(share.permits());
        if missing > 0 {
            let _waiting = self.memory.wait();
            share.add(self.acquire(&self.memory.free, missing).await?);
        }
        Ok(())
    }

    async fn acquire(&self, from: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, Error> {
        let permits = u32::try_from(permits).map_err(|_| Refusal::Busy)?;
        match timeout(self.patience, Arc::clone(from).acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy.into()),
        }
    }
}

impl Memory {
    /// Others wait for memory until the guard is dropped.
    fn wait(&self) -> Waiting<'_> {
        self.waiting.send_modify(|count| *count += 1);
        Waiting(self)
    }

    /// Returns when others wait for memory and the client that has sent so many bytes since then is slow.
    async fn is_wanted(&self, began: Instant, received: usize) {
        sleep_until(began + GRACE + Duration::from_secs_f64(received as f64 / self.slow as f64)).await;
        // The sender is this struct's, so there is no error.
        let _ = self.waiting.subscribe().wait_for(|count| *count > 0).await;
    }
}

/// One that waits for memory.
struct Waiting<'a>(&'a Memory);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|count| *count -= 1);
    }
}

/// A part of the memory for documents, given back when it is dropped.
struct Share {
    permit: Option<OwnedSemaphorePermit>,
    memory: Arc<Memory>,
}

impl Share {
    fn permits(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let had_some = self.permit.take().is_some();
        let is_last = self.memory.free.available_permits() == self.memory.units;
        // What glibc keeps of many small blocks would stay with the process.
        if let (true, true, Ok(runtime)) = (had_some, is_last, Handle::try_current()) {
            drop(runtime.spawn_blocking(heap::trim));
        }
    }
}

fn parse(text: &[u8], progress: &Progress) -> Result<Value, Refusal<'static>> {
    match value::read(text, VALUES_MAX, progress) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(value),
        Ok(_) => Err(Refusal::NeitherListNorObject),
        Err(Unread::Malformed) => Err(Refusal::Malformed),
        Err(Unread::TooMany) => Err(Refusal::TooManyValues(VALUES_MAX)),
        Err(Unread::Abandoned) => Err(Refusal::Abandoned),
    }
}

#[cfg(test)]
mod tests;
