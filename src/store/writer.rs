//! The asynchronous half of a write, for stores whose other half runs on a strand.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::StoreError;
use super::digest::weight;
use super::driver::{Stored, Writer};
use super::pool::Pool;
use super::strand::{Consumer, Ended, Limits, Strand};

const LIMITS: Limits = Limits { capacity: 2 * 1024 * 1024, batch: 256 * 1024 };

/// What the half that writes is told. When its work fails or it is dropped, it removes what it has written.
pub(super) enum Message {
    Data(Bytes),
    /// Write what was taken: nothing may come for a while.
    Flush,
    /// Make the object durable and visible.
    Commit(oneshot::Sender<Result<Published, StoreError>>),
    /// Remove it.
    Abort(oneshot::Sender<Result<(), StoreError>>),
}

/// An object under its final name that is removed again unless its writer's owner has heard of it.
pub(super) struct Published {
    remove: Option<Box<dyn FnOnce() + Send>>,
    pool: Arc<Pool>,
}

impl Published {
    /// `remove` says by itself when it fails.
    pub(super) fn new(pool: Arc<Pool>, remove: impl FnOnce() + Send + 'static) -> Self {
        Self { remove: Some(Box::new(remove)), pool }
    }

    fn keep(mut self) {
        self.remove = None;
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Some(remove) = self.remove.take() {
            // Without a thread the object stays; recovery finds it under its image's name.
            let _ = self.pool.submit(remove);
        }
    }
}

/// Hands data to the consumer that writes it. `None` once the write has failed.
pub(super) struct StrandWriter<C: Consumer> {
    strand: Option<Strand<C>>,
    stored: Stored,
    /// 0 when unknown.
    announced: u64,
    begun: Instant,
}

impl<C: Consumer<Message = Message, Error = StoreError>> StrandWriter<C> {
    /// For an object that will lie at `url`.
    pub(super) fn new(consumer: C, pool: Arc<Pool>, announced: u64, url: String, metadata: Map<String, Value>) -> Self {
        Self {
            strand: Some(Strand::new(pool, LIMITS, consumer)),
            stored: Stored { url, size: 0, metadata },
            announced,
            begun: Instant::now(),
        }
    }

    async fn take(&mut self, data: Bytes) -> Result<(), StoreError> {
        if data.is_empty() {
            return Ok(());
        }
        let actual = self.stored.size.saturating_add(data.len() as u64);
        if self.announced != 0 && actual > self.announced {
            self.undo().await?;
            return Err(StoreError::SizeExceeded { expected: self.announced.into(), actual });
        }
        let Some(strand) = &mut self.strand else { return Err(failed_before()) };
        if let Err(ended) = strand.room().await {
            self.strand = None;
            return Err(cause(ended));
        }
        self.stored.size = actual;
        let weight = weight(&data);
        strand.push(Message::Data(data), weight);
        Ok(())
    }

    async fn finish(mut self) -> Result<Stored, StoreError> {
        if self.announced != 0 && self.stored.size != self.announced {
            let mismatch = StoreError::SizeMismatch { expected: self.announced.into(), actual: self.stored.size };
            self.undo().await?;
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
        tracing::debug!(url = self.stored.url, bytes = self.stored.size, duration_ms, "image data written");
        Ok(self.stored)
    }

    async fn undo(&mut self) -> Result<(), StoreError> {
        let Some(mut strand) = self.strand.take() else { return Ok(()) };
        let (reply, undone) = oneshot::channel();
        strand.push_last(Message::Abort(reply));
        if let Ok(outcome) = undone.await {
            return outcome;
        }
        // The strand has failed, or is about to, and undoes its work by itself as far as it can.
        match strand.end().await {
            Ended::Failed(left @ StoreError::LeftBehind(_)) => Err(left),
            Ended::Failed(_) => Ok(()),
            ended @ (Ended::NoThread | Ended::Gone) => Err(cause(ended)),
        }
    }
}

impl<C: Consumer<Message = Message, Error = StoreError>> Writer for StrandWriter<C> {
    fn write(&mut self, data: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        self.take(data).boxed()
    }

    fn flush(&mut self) {
        self.strand.iter_mut().for_each(|strand| strand.push_last(Message::Flush));
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Stored, StoreError>> {
        self.finish().boxed()
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>> {
        async move { self.undo().await }.boxed()
    }
}

fn cause(ended: Ended<StoreError>) -> StoreError {
    match ended {
        Ended::Failed(error) => error,
        // Nobody knows what the consumer has left.
        Ended::NoThread => StoreError::LeftBehind(Box::new(StoreError::no_thread())),
        Ended::Gone => StoreError::LeftBehind(Box::new(StoreError::broken_thread())),
    }
}

fn failed_before() -> StoreError {
    StoreError::Io {
        doing: "the write has failed before".to_owned(),
        source: std::io::Error::from(std::io::ErrorKind::BrokenPipe),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Fails at once in its way.
    struct Broken(fn() -> StoreError);

    impl Consumer for Broken {
        type Message = Message;
        type Error = StoreError;

        fn consume(&mut self, _messages: VecDeque<Message>) -> Result<(), StoreError> {
            Err((self.0)())
        }
    }

    async fn abort_of(failure: fn() -> StoreError) -> Result<(), StoreError> {
        let mut writer = StrandWriter::new(Broken(failure), Pool::new("test", 1), 0, "x://y".to_owned(), Map::new());
        // Too little to be worked on before the abort comes.
        writer.write(Bytes::from_static(b"data")).await.unwrap();
        Box::new(writer).abort().await
    }

    #[tokio::test]
    async fn an_abort_tells_whether_anything_is_left() {
        assert!(abort_of(StoreError::no_thread).await.is_ok(), "a consumer that fails undoes its work");
        let left = abort_of(|| StoreError::LeftBehind(Box::new(StoreError::no_thread()))).await;
        assert!(matches!(left, Err(StoreError::LeftBehind(_))), "unless it says that it could not");
        let left = abort_of(|| panic!("of the test")).await;
        assert!(matches!(left, Err(StoreError::LeftBehind(_))), "or nobody knows");
    }
}
