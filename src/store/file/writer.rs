//! The asynchronous half of a write.

use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::super::StoreError;
use super::super::digest::weight;
use super::super::driver::{Stored, Writer};
use super::super::strand::{Ended, Limits, Strand};
use super::recording::{Message, Recording};

const LIMITS: Limits = Limits { capacity: 4 * 1024 * 1024, batch: 1024 * 1024 };

/// Hands data to the thread that writes it. `None` once the write has failed.
pub(super) struct FileWriter {
    strand: Option<Strand<Recording>>,
    url: String,
    metadata: Map<String, Value>,
    /// 0 when unknown.
    announced: u64,
    taken: u64,
    begun: Instant,
}

impl FileWriter {
    pub(super) fn new(recording: Recording, metadata: Map<String, Value>) -> Self {
        Self {
            url: format!("file://{}", recording.path),
            metadata,
            announced: recording.announced,
            taken: 0,
            begun: Instant::now(),
            strand: Some(Strand::new(recording.pool.clone(), LIMITS, recording)),
        }
    }

    async fn take(&mut self, data: Bytes) -> Result<(), StoreError> {
        if data.is_empty() {
            return Ok(());
        }
        let actual = self.taken.saturating_add(data.len() as u64);
        if self.announced != 0 && actual > self.announced {
            self.strand = None;
            return Err(StoreError::SizeExceeded { expected: self.announced.into(), actual });
        }
        let Some(strand) = &mut self.strand else { return Err(failed_before()) };
        if let Err(ended) = strand.room().await {
            self.strand = None;
            return Err(cause(ended));
        }
        self.taken = actual;
        let weight = weight(&data);
        strand.push(Message::Data(data), weight);
        Ok(())
    }

    async fn finish(self) -> Result<Stored, StoreError> {
        if self.announced != 0 && self.taken != self.announced {
            let mismatch = StoreError::SizeMismatch { expected: self.announced.into(), actual: self.taken };
            self.undo().await;
            return Err(mismatch);
        }
        let Some(mut strand) = self.strand else { return Err(failed_before()) };
        let (reply, outcome) = oneshot::channel();
        strand.push_last(Message::Commit(reply));
        match outcome.await {
            Ok(published) => published?.keep(),
            // Something before the commit went wrong; the strand knows what.
            Err(_) => return Err(cause(strand.end().await)),
        }
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(url = self.url, bytes = self.taken, duration_ms, "image data written");
        Ok(Stored { url: self.url, size: self.taken, metadata: self.metadata })
    }

    async fn undo(mut self) {
        if let Some(mut strand) = self.strand.take() {
            let (reply, undone) = oneshot::channel();
            strand.push_last(Message::Abort(reply));
            // A strand that has failed has undone its work by itself.
            let _ = undone.await;
        }
    }
}

impl Writer for FileWriter {
    fn write(&mut self, data: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        self.take(data).boxed()
    }

    fn flush(&mut self) {
        self.strand.iter_mut().for_each(Strand::flush);
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Stored, StoreError>> {
        self.finish().boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.undo().boxed()
    }
}

fn cause(ended: Ended<StoreError>) -> StoreError {
    match ended {
        Ended::Failed(error) => error,
        Ended::Gone => StoreError::no_thread(),
    }
}

fn failed_before() -> StoreError {
    StoreError::Io {
        doing: "the write has failed before".to_owned(),
        source: std::io::Error::from(std::io::ErrorKind::BrokenPipe),
    }
}
