//! How far one response has got: whether its client takes it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Shared by a response's body, its chunks and the task that watches them.
#[derive(Debug)]
pub(in crate::service) struct Progress {
    born: Instant,
    /// Chunks that the client has not taken whole.
    owed: AtomicUsize,
    /// When it last took a byte, or was first owed one; milliseconds since `born`.
    taken: AtomicU64,
    abandoned: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            owed: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(super) fn owes(&self) {
        if self.owed.fetch_add(1, Relaxed) == 0 {
            self.took();
        }
    }

    pub(super) fn paid(&self) {
        self.owed.fetch_sub(1, Relaxed);
    }

    pub(super) fn took(&self) {
        self.taken.store(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Nobody sends the rest of the response. Returns whether that was known.
    pub(super) fn abandon(&self) -> bool {
        self.abandoned.swap(true, Relaxed)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Ends when the client has taken none of what waits for it for as long as `limit`. While nothing waits for it, the
    /// time is the server's.
    pub(super) async fn stuck(&self, limit: Duration) {
        let mut due = Instant::now() + limit;
        loop {
            sleep_until(due).await;
            let now = Instant::now();
            due = if self.owed.load(Relaxed) == 0 {
                now + limit
            } else {
                self.born + Duration::from_millis(self.taken.load(Relaxed)) + limit
            };
            if due <= now {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_client_that_takes_nothing_is_stuck() {
        let limit = Duration::from_millis(600);
        let progress = Progress::new();
        let watch = |time: Duration| tokio::time::timeout(time, progress.stuck(limit));
        assert!(watch(limit * 2).await.is_err(), "nothing waits for the client");
        progress.owes();
        assert!(watch(limit / 2).await.is_err());
        progress.took();
        assert!(watch(limit / 2).await.is_err(), "it took something");
        assert!(watch(limit * 20).await.is_ok());
        progress.paid();
        progress.owes();
        assert!(watch(limit / 2).await.is_err(), "the time starts with the next chunk");
        assert!(!progress.abandon() && progress.abandon() && progress.is_abandoned());
    }
}
