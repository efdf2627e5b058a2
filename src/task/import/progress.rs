//! How far a task's data is, in words that upstream's clients show as they are.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::task::headway::Headway;

const MIB: u64 = 1 << 20;

/// Counts bytes as they pass, and keeps how much of the data is converted.
#[derive(Clone, Debug, Default)]
pub(in crate::task) struct Progress {
    copied: Arc<AtomicU64>,
    /// Percent; 0 where nothing is.
    converted: Arc<AtomicU8>,
    /// Where plugins work that block.
    threads: TaskTracker,
    /// Cancelled when nobody wants the data any more.
    unwanted: CancellationToken,
    /// Whatever is done counts there, and is never taken back.
    headway: Headway,
}

/// Data that was on its way when its image went.
#[derive(Debug, thiserror::Error)]
#[error("the image has been deleted")]
struct Unwanted;

impl Progress {
    /// `headway`: where the task says that it goes on.
    pub(in crate::task) fn of(headway: &Headway) -> Self {
        Self { headway: headway.clone(), ..Self::default() }
    }

    /// The same data, counted from zero: what has passed before counts no more. It ends in an error once it is given up.
    pub(in crate::task) fn count<'d, S>(&self, data: S) -> BoxStream<'d, io::Result<Bytes>>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'd,
    {
        self.copied.store(0, Ordering::Relaxed);
        let (bytes, headway) = (Arc::clone(&self.copied), self.headway.clone());
        let counted = data.inspect(move |piece| {
            if let Ok(piece) = piece {
                bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
                headway.made(piece.len() as u64);
            }
        });
        let unwanted = self.unwanted.clone();
        let end = stream::once(async move { unwanted.is_cancelled().then(|| Err(io::Error::other(Unwanted))) });
        counted.take_until(self.unwanted.clone().cancelled_owned()).chain(end.filter_map(ready)).boxed()
    }

    /// Nobody wants the data any more: it ends, however slowly it comes, and so do plugins.
    pub(super) fn give_up(&self) {
        self.unwanted.cancel();
    }

    /// Cancelled when the data is given up.
    pub(super) fn unwanted(&self) -> &CancellationToken {
        &self.unwanted
    }

    /// The threads of plugins: they may go on for a moment when nobody waits for them any more.
    pub(in crate::task) fn threads(&self) -> &TaskTracker {
        &self.threads
    }

    /// Where those threads say that they go on.
    pub(super) fn headway(&self) -> &Headway {
        &self.headway
    }

    /// So much of the data has another format by now; it is there, so that its bytes count no more.
    pub(in crate::task) fn converted(&self, percent: u8) {
        self.copied.store(0, Ordering::Relaxed);
        self.converted.store(percent, Ordering::Relaxed);
    }

    /// Upstream's words, with a share where the whole is known. `total`: bytes.
    pub(super) fn message(&self, total: Option<u64>) -> String {
        let bytes = self.copied.load(Ordering::Relaxed);
        match self.converted.load(Ordering::Relaxed) {
            percent @ 1.. if bytes == 0 => return format!("Converting ({percent} %)"),
            _ => {}
        }
        let copied = copied(bytes);
        match total.filter(|total| *total > 0) {
            Some(total) => format!("{copied} ({} %)", bytes.min(total) * 100 / total),
            None => copied,
        }
    }
}

/// Upstream's words for so many bytes.
pub(super) fn copied(bytes: u64) -> String {
    format!("Copied {} MiB", bytes / MIB)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn bytes_are_counted_and_told() {
        let progress = Progress::default();
        assert_eq!(progress.message(None), "Copied 0 MiB");
        progress.converted(57);
        assert_eq!(progress.message(None), "Converting (57 %)");
        let pieces = [Ok(Bytes::from(vec![0; 3 << 20])), Err(io::ErrorKind::TimedOut.into())];
        let seen: Vec<_> = progress.count(stream::iter(pieces)).collect().await;
        assert_eq!(seen.len(), 2);
        assert_eq!(progress.message(None), "Copied 3 MiB");
        assert_eq!(progress.message(Some(4 << 20)), "Copied 3 MiB (75 %)");
        assert_eq!(progress.message(Some(1)), "Copied 3 MiB (100 %)");
    }

    #[tokio::test]
    async fn what_is_staged_converted_and_stored_counts_in_turn() {
        let headway = Headway::default();
        let progress = Progress::of(&headway);
        let pass = async |mebibytes: usize| {
            let data = progress.count(stream::iter([Ok(Bytes::from(vec![0; mebibytes << 20]))]));
            data.for_each(|_| async {}).await;
        };
        pass(2).await;
        assert_eq!(progress.message(Some(2 << 20)), "Copied 2 MiB (100 %)");
        progress.converted(57);
        assert_eq!(progress.message(Some(2 << 20)), "Converting (57 %)");
        pass(3).await;
        assert_eq!(progress.message(Some(4 << 20)), "Copied 3 MiB (75 %)");
        assert_eq!(headway.so_far(), 5 << 20, "what was done before counts as well");
    }

    #[tokio::test]
    async fn data_that_is_given_up_ends_in_an_error_and_other_data_well() {
        let progress = Progress::default();
        let piece = || stream::iter([Ok(Bytes::from_static(b"piece"))]);
        let mut whole = progress.count(piece());
        assert_eq!(whole.next().await.unwrap().unwrap(), "piece");
        assert!(whole.next().await.is_none());
        let mut stalled = progress.count(piece().chain(stream::pending()));
        assert_eq!(stalled.next().await.unwrap().unwrap(), "piece");
        assert!(futures_util::poll!(stalled.next()).is_pending());
        progress.give_up();
        assert_eq!(stalled.next().await.unwrap().unwrap_err().to_string(), "the image has been deleted");
        assert!(stalled.next().await.is_none());
    }
}
