//! What happens on one connection: enough to tell a busy one from an idle one and from one that is stuck.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::progress::Progress;
use crate::service::counters::Counters;

/// How long bytes that nobody will read are taken from a client after the last answer: closing with bytes unread would
/// reset the connection, and the client might never see the answer.
pub(in crate::service) const LINGER: Duration = Duration::from_secs(5);

const CHUNKED: u64 = u64::MAX;

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
    /// Those among them whose client does not take the response, so that nobody sends the rest.
    abandoned: AtomicUsize,
    /// Pieces of responses that the client has not taken yet.
    owed: AtomicUsize,
    /// On HTTP/2: the number of request bodies that have not been read to their end, whether or not all of their bytes have come.
    unread: AtomicUsize,
    /// On HTTP/1: the number of the last request with a body, as long as that is not read to its end; 0: there is none.
    unread_of: AtomicU64,
    /// On HTTP/1: bytes in the body of the request begun last; [`CHUNKED`]: only its end tells.
    body_length: AtomicU64,
    /// Bytes by which the line of the next request was made longer.
    lengthened: AtomicUsize,
    http2: AtomicBool,
    /// Since when the connection has been asked to leave; 0: it has not.
    leaving_since: AtomicU64,
    leave: Notify,
    began: Notify,
    gave_up: Notify,
}

/// A request's body that is being read: on HTTP/1 the number of its request.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Body(Option<u64>);

/// What a timer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Liveness {
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
            abandoned: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            unread_of: AtomicU64::new(0),
            body_length: AtomicU64::new(0),
            lengthened: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
            leaving_since: AtomicU64::new(0),
            leave: Notify::new(),
            began: Notify::new(),
            gave_up: Notify::new(),
        })
    }

    /// A request has come; it ends when the guard is dropped, with the last byte of its response.
    pub(in crate::service) fn begin(self: &Arc<Self>) -> Flight {
        self.in_flight.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.body_length.store(0, Relaxed);
        self.counters.request_began();
        self.began.notify_one();
        Flight { activity: Arc::clone(self), progress: Arc::new(Progress::new()), over: None }
    }

    /// Bytes went in or out.
    pub(super) fn moved(&self, bytes: usize) {
        self.moved.store(self.now(), Relaxed);
        self.counters.bytes_moved(bytes);
    }

    pub(super) fn requests(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// The client began with the preface of HTTP/2, or made a request of it.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    /// Whether the requests are streams of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// How long no request has been in flight. Bytes of an unfinished request head do not count as work.
    pub(in crate::service) fn idle_for(&self) -> Option<Duration> {
        let since = self.idle_since.load(Relaxed);
        self.is_idle().then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// What moves while no request is in flight, such as a PING, is no reason to keep the connection.
    pub(super) fn liveness(&self, limit: Duration) -> Liveness {
        let idle_since = self.idle_since.load(Relaxed);
        let last = if self.is_idle() { idle_since } else { self.moved.load(Relaxed).max(idle_since) };
        let due = self.born + Duration::from_millis(last) + limit;
        let now = Instant::now();
        if now < due {
            Liveness::Fine(due)
        } else if self.is_idle() {
            Liveness::Idle
        } else if self.owed.load(Relaxed) > 0 {
            Liveness::Stuck
        } else {
            // The request is ours to finish; its own body has a timer.
            Liveness::Fine(now + limit)
        }
    }

    /// The request begun last has a body, of so many bytes unless it is chunked, that somebody has to read. Gives what
    /// [`Self::body_ended`] takes.
    pub(in crate::service) fn body_begins(&self, length: Option<u64>) -> Body {
        if self.is_http2() {
            self.unread.fetch_add(1, Relaxed);
            return Body(None);
        }
        let request = self.requests();
        self.body_length.store(length.unwrap_or(CHUNKED), Relaxed);
        self.unread_of.store(request, Relaxed);
        Body(Some(request))
    }

    /// All of it was read.
    pub(in crate::service) fn body_ended(&self, body: Body) {
        if let Some(request) = body.0 {
            // The body of a later request stays unread.
            let _: Result<u64, u64> = self.unread_of.compare_exchange(request, 0, Relaxed, Relaxed);
        } else {
            self.unread.fetch_sub(1, Relaxed);
        }
    }

    /// Whether what comes next may belong to the body of a request that is past, or of one in progress. On HTTP/1 a request
    /// begins only when the body before it is over.
    pub(super) fn has_unread(&self) -> bool {
        let unread_of = self.unread_of.load(Relaxed);
        self.unread.load(Relaxed) > 0 || unread_of > 0 && unread_of == self.requests()
    }

    /// On HTTP/1: the length of the body of the request begun last, unless it is chunked.
    pub(super) fn body_length(&self) -> Option<u64> {
        Some(self.body_length.load(Relaxed)).filter(|length| *length != CHUNKED)
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
        self.leaving_since.store(self.now().max(1), Relaxed);
        self.leave.notify_one();
    }

    /// A request came before the connection could leave.
    pub(super) fn stays(&self) {
        self.leaving_since.store(0, Relaxed);
    }

    pub(in crate::service) fn is_leaving(&self) -> bool {
        self.leaving_for().is_some()
    }

    /// How long ago the connection was asked to leave, if it was.
    pub(in crate::service) fn leaving_for(&self) -> Option<Duration> {
        let since = self.leaving_since.load(Relaxed);
        (since > 0).then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    pub(in crate::service) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// A request has begun since this was last awaited.
    pub(super) async fn request_began(&self) {
        self.began.notified().await;
    }

    /// The client of this request does not take the response.
    pub(super) fn abandon(&self, progress: &Progress) {
        if !progress.abandon() {
            self.abandoned.fetch_add(1, Relaxed);
            self.gave_up.notify_one();
        }
    }

    /// A request has been abandoned since this was last awaited.
    pub(super) async fn request_abandoned(&self) {
        self.gave_up.notified().await;
    }

    /// Whether there are requests in flight, all of them abandoned.
    pub(super) fn is_abandoned(&self) -> bool {
        let abandoned = self.abandoned.load(Relaxed);
        abandoned > 0 && abandoned >= self.in_flight.load(Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight.
#[derive(Debug)]
pub(in crate::service) struct Flight {
    activity: Arc<Activity>,
    progress: Arc<Progress>,
    /// Dropped with it: tells who waits for the end.
    over: Option<oneshot::Sender<Infallible>>,
}

impl Flight {
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Comes to its end, as an error, with the request.
    pub(super) fn over(&mut self) -> oneshot::Receiver<Infallible> {
        let (over, end) = oneshot::channel();
        self.over = Some(over);
        end
    }

    /// A piece of the response waits for the client.
    pub(in crate::service) fn owes(&self) {
        self.activity.owed.fetch_add(1, Relaxed);
        self.progress.owes();
    }

    /// The client took a part of it.
    pub(in crate::service) fn took(&self) {
        self.progress.took();
    }

    /// It took the last of it, or will not get it.
    pub(in crate::service) fn paid(&self) {
        self.activity.owed.fetch_sub(1, Relaxed);
        self.progress.paid();
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.idle_since.store(activity.now(), Relaxed);
        activity.in_flight.fetch_sub(1, Relaxed);
        if self.progress.is_abandoned() {
            activity.abandoned.fetch_sub(1, Relaxed);
        }
        activity.counters.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(600);

    #[tokio::test]
    async fn a_connection_is_abandoned_when_all_of_its_requests_are() {
        let activity = Activity::new(Arc::new(Counters::default()));
        let (stuck, other) = (activity.begin(), activity.begin());
        activity.abandon(stuck.progress());
        activity.abandon(stuck.progress());
        activity.request_abandoned().await;
        assert!(!activity.is_abandoned());
        drop(other);
        assert!(activity.is_abandoned());
        drop(stuck);
        assert!(!activity.is_abandoned() && activity.is_idle());
    }

    #[tokio::test]
    async fn a_body_that_nobody_read_is_over_when_the_next_request_begins() {
        let activity = Activity::new(Arc::new(Counters::default()));
        drop(activity.begin());
        let refused = activity.body_begins(Some(7));
        assert!(activity.has_unread());
        assert_eq!(activity.body_length(), Some(7));
        drop(activity.begin());
        assert!(!activity.has_unread());
        assert_eq!(activity.body_length(), Some(0));
        let chunked = activity.body_begins(None);
        assert_eq!(activity.body_length(), None);
        activity.body_ended(refused);
        assert!(activity.has_unread(), "it was another's");
        activity.body_ended(chunked);
        assert!(!activity.has_unread());
        // Streams of HTTP/2 are in progress together.
        activity.speaks_http2();
        let (first, second) = (activity.body_begins(Some(1)), activity.body_begins(None));
        drop(activity.begin());
        activity.body_ended(second);
        assert!(activity.has_unread());
        activity.body_ended(first);
        assert!(!activity.has_unread());
    }

    #[tokio::test]
    async fn only_an_idle_or_unwilling_client_is_late() {
        let activity = Activity::new(Arc::new(Counters::default()));
        assert!(matches!(activity.liveness(LIMIT), Liveness::Fine(due) if due <= Instant::now() + LIMIT));
        tokio::time::sleep(LIMIT).await;
        assert_eq!(activity.liveness(LIMIT), Liveness::Idle);

        let flight = activity.begin();
        assert!(matches!(activity.liveness(LIMIT), Liveness::Fine(_)), "a slow handler is not the client's fault");
        flight.owes();
        assert_eq!(activity.liveness(LIMIT), Liveness::Stuck);
        activity.moved(1);
        assert!(matches!(activity.liveness(LIMIT), Liveness::Fine(_)));
        tokio::time::sleep(LIMIT).await;
        flight.paid();
        drop(flight);
        assert!(matches!(activity.liveness(LIMIT), Liveness::Fine(_)), "the time starts with the end of the request");
        assert!(activity.idle_for().is_some_and(|idle| idle < LIMIT));
        tokio::time::sleep(LIMIT).await;
        activity.moved(1);
        assert_eq!(activity.liveness(LIMIT), Liveness::Idle, "bytes that are no request");
    }
}
