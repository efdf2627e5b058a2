//! What the worker is doing, in numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// Counts of the whole worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    in_flight: AtomicUsize,
    /// The most that were in flight together, since work was last found to be over.
    height: AtomicUsize,
    bytes: AtomicU64,
    /// `bytes` when work was last found to be over.
    bytes_then: AtomicU64,
    changed: Notify,
    /// There is work now.
    worked: Notify,
}

/// As many requests together are work that leaves traces in memory.
const MANY: usize = 16;
/// So is as much data, in bytes.
const MUCH: u64 = 64 << 20;

impl Counters {
    pub(super) fn request_began(&self) {
        let before = self.in_flight.fetch_add(1, Relaxed);
        self.height.fetch_max(before + 1, Relaxed);
        if before + 1 == MANY {
            self.worked.notify_one();
        }
        self.changed.notify_one();
    }

    pub(super) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn connection_changed(&self) {
        self.changed.notify_one();
    }

    pub(super) fn bytes_moved(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes as u64, Relaxed);
        let much = self.bytes_then.load(Relaxed).saturating_add(MUCH);
        if before < much && before + bytes as u64 >= much {
            self.worked.notify_one();
        }
    }

    /// Requests whose response has not left whole.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Whether there were many requests at once, or much data, and hardly any request is left; once for each time.
    pub(super) fn work_is_over(&self) -> bool {
        let (now, height, bytes) = (self.in_flight(), self.height.load(Relaxed), self.bytes());
        let is_over = self.was_work() && now <= height / 8;
        if is_over {
            self.height.store(now, Relaxed);
            self.bytes_then.store(bytes, Relaxed);
        }
        is_over
    }

    /// Waits until there are many requests at once, or has been much data, since work was last found to be over.
    pub(super) async fn work_came(&self) {
        while !self.was_work() {
            self.worked.notified().await;
        }
    }

    fn was_work(&self) -> bool {
        let bytes = self.bytes().saturating_sub(self.bytes_then.load(Relaxed));
        self.height.load(Relaxed) >= MANY || bytes >= MUCH
    }

    /// Bytes in and out on all connections since the start.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Waits until one of the numbers is another.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn work_is_over_once_when_hardly_any_request_is_left() {
        let counters = Counters::default();
        let (begin, end) = (|_| counters.request_began(), |_| counters.request_ended());
        (1..MANY).for_each(begin);
        (1..MANY).for_each(end);
        assert!(!counters.work_is_over(), "that was none");
        (0..MANY * 2).for_each(begin);
        assert!(!counters.work_is_over(), "it goes on");
        (4..MANY * 2).for_each(end);
        assert_eq!(counters.in_flight(), 4);
        assert!(counters.work_is_over());
        assert!(!counters.work_is_over());

        counters.bytes_moved(usize::try_from(MUCH).unwrap());
        assert!(!counters.work_is_over(), "an upload goes on");
        (0..4).for_each(end);
        assert!(counters.work_is_over());
        assert!(!counters.work_is_over());
    }

    #[tokio::test]
    async fn whoever_waits_for_work_is_woken_by_requests_and_by_data() {
        let counters = Arc::new(Counters::default());
        let waiting = || {
            let counters = Arc::clone(&counters);
            tokio::spawn(async move { counters.work_came().await })
        };
        let requests = waiting();
        (1..MANY).for_each(|_| counters.request_began());
        tokio::task::yield_now().await;
        assert!(!requests.is_finished());
        counters.request_began();
        requests.await.unwrap();
        (0..MANY).for_each(|_| counters.request_ended());
        waiting().await.unwrap();
        assert!(counters.work_is_over());

        let half = usize::try_from(MUCH).unwrap() / 2;
        let data = waiting();
        counters.bytes_moved(half);
        tokio::task::yield_now().await;
        assert!(!data.is_finished());
        counters.bytes_moved(half);
        data.await.unwrap();
    }
}
