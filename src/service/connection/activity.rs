//! What happens on one connection: enough to tell a busy one from an idle one and from one that is stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::service::counters::Counters;

/// Shared by the task of a connection, its socket, its requests and its bodies. Times are milliseconds since `born`.
#[derive(Debug)]
pub(in crate::service) struct Activity {
    counters: Arc<Counters>,
    born: Instant,
    /// When a byte last moved.
    moved: AtomicU64,
    /// Since when no request is in flight.
    idle_since: AtomicU64,
    /// Requests begun.
    begun: AtomicU64,
    in_flight: AtomicUsize,
    /// Pieces of responses that the client has not taken yet.
    owed: AtomicUsize,
    /// Request bodies of which bytes are still to come, and those that nobody read to their end.
    unread: AtomicUsize,
    /// Bytes by which the line of the next request was made longer.
    lengthened: AtomicUsize,
    leaving: AtomicBool,
    leave: Notify,
    began: Notify,
}

/// What a timer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Verdict {
    /// Look again then.
    Fine(Instant),
    /// No request, and no byte for too long.
    Idle,
    /// The client does not take the response.
    Stuck,
}

impl Activity {
    pub(in crate::service) fn new(counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            counters,
            born: Instant::now(),
            moved: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            lengthened: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
            began: Notify::new(),
        })
    }

    /// A request has come; it ends when the guard is dropped, with the last byte of its response.
    pub(in crate::service) fn begin(self: &Arc<Self>) -> Flight {
        self.in_flight.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.counters.request_began();
        self.began.notify_one();
        Flight(Arc::clone(self))
    }

    /// Bytes went in or out.
    pub(super) fn moved(&self, bytes: usize) {
        self.moved.store(self.now(), Relaxed);
        self.counters.bytes_moved(bytes);
    }

    pub(in crate::service) fn owes(&self) {
        self.owed.fetch_add(1, Relaxed);
    }

    pub(in crate::service) fn paid(&self) {
        self.owed.fetch_sub(1, Relaxed);
    }

    pub(super) fn requests(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// How long no request has been in flight. Bytes of an unfinished request head do not count as work.
    pub(in crate::service) fn idle_for(&self) -> Option<Duration> {
        let since = self.idle_since.load(Relaxed);
        self.is_idle().then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    pub(super) fn verdict(&self, limit: Duration) -> Verdict {
        let moved = Duration::from_millis(self.moved.load(Relaxed).max(self.idle_since.load(Relaxed)));
        let due = self.born + moved + limit;
        let now = Instant::now();
        if now < due {
            Verdict::Fine(due)
        } else if self.is_idle() {
            Verdict::Idle
        } else if self.owed.load(Relaxed) > 0 {
            Verdict::Stuck
        } else {
            // The request is ours to finish; its own body has a timer.
            Verdict::Fine(now + limit)
        }
    }

    /// Bytes will come that somebody has to read: those of a body.
    pub(in crate::service) fn body_begins(&self) {
        self.unread.fetch_add(1, Relaxed);
    }

    /// All of them were read.
    pub(in crate::service) fn body_ended(&self) {
        self.unread.fetch_sub(1, Relaxed);
    }

    /// Whether what comes next may belong to a request that is past, or to one in progress.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed) > 0
    }

    /// The line of a request that has not begun yet was made longer than the client sent it.
    pub(super) fn line_lengthened(&self, bytes: usize) {
        self.lengthened.fetch_add(bytes, Relaxed);
    }

    /// By how much the line of the request that begins now was made longer.
    pub(super) fn take_lengthened(&self) -> usize {
        self.lengthened.swap(0, Relaxed)
    }

    pub(in crate::service) fn ask_to_leave(&self) {
        self.leaving.store(true, Relaxed);
        self.leave.notify_one();
    }

    /// A request came before the connection could leave.
    pub(super) fn stays(&self) {
        self.leaving.store(false, Relaxed);
    }

    pub(in crate::service) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    pub(in crate::service) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// A request has begun since this was last awaited.
    pub(super) async fn request_began(&self) {
        self.began.notified().await;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight.
#[derive(Debug)]
pub(in crate::service) struct Flight(Arc<Activity>);

impl Flight {
    pub(in crate::service) fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
        self.0.counters.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(600);

    #[tokio::test]
    async fn only_an_idle_or_unwilling_client_is_late() {
        let activity = Activity::new(Arc::new(Counters::default()));
        assert!(matches!(activity.verdict(LIMIT), Verdict::Fine(due) if due <= Instant::now() + LIMIT));
        tokio::time::sleep(LIMIT).await;
        assert_eq!(activity.verdict(LIMIT), Verdict::Idle);

        let flight = activity.begin();
        assert!(matches!(activity.verdict(LIMIT), Verdict::Fine(_)), "a slow handler is not the client's fault");
        activity.owes();
        assert_eq!(activity.verdict(LIMIT), Verdict::Stuck);
        activity.moved(1);
        assert!(matches!(activity.verdict(LIMIT), Verdict::Fine(_)));
        tokio::time::sleep(LIMIT).await;
        activity.paid();
        drop(flight);
        assert!(matches!(activity.verdict(LIMIT), Verdict::Fine(_)), "the time starts with the end of the request");
        assert!(activity.idle_for().is_some_and(|idle| idle < LIMIT));
    }
}
