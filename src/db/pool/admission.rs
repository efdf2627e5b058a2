//! Who may use a connection: no more callers at a time than the server works for well, in the order in which they came.
//!
//! A server with two cores serves fifty short queries on five connections sooner than on fifty: each connection is a process
//! or a thread of its own there, with caches of its own. So the connections above `max_pool_size` are for two things: an
//! operation that lasts longer than [`LONG`] (a commit on a slow disk, a wait for a lock), or [`READS`] times as long if it only
//! reads, no longer counts, another may run beside it; and where the server is far away, there are as many as are needed to keep it busy.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// An operation that has run for longer makes room for another. Tokio's clock knows whole milliseconds.
const LONG: Duration = Duration::from_millis(2);
/// So many times as long, if it only reads. What keeps a reader waiting is most often the server's processors, which have no more done
/// where more ask at the same time; and who waits here can share another's answer.
const READS: u32 = 12;
/// However long the way to the server is, so many connections are used that one operation can be sent each time that this has passed.
const PACE: Duration = Duration::from_micros(100);
/// The way to the server is as long as the quickest operation took in a time of this length, or in the one before.
const PERIOD: Duration = Duration::from_secs(10);

pub(super) struct Admission {
    /// One for each operation that may run now: between `few` and `most`.
    permits: Arc<Semaphore>,
    /// One more; see [`Admission::beside`].
    spare: Arc<Semaphore>,
    few: usize,
    most: usize,
    long: Duration,
    /// Callers in the queue.
    waiting: AtomicUsize,
    /// The queue is looked at; see [`Admission::watch`].
    is_watched: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Permits that there are, in use or not.
    permits: usize,
    is_closing: bool,
    distance: Distance,
    /// From when on each operation that runs is a long one. Their order says nothing.
    running: Vec<(u64, Instant)>,
    /// How often somebody was admitted.
    admitted: u64,
}

/// The right to use one connection until it is dropped.
pub(super) struct Permit {
    admission: Arc<Admission>,
    permit: Option<OwnedSemaphorePermit>,
    /// Its number among those that run; `None`: it is the spare one.
    number: Option<u64>,
    /// Since when a connection has been there; to find one does not tell how long the server takes.
    connected: Option<Instant>,
}

/// Why there is no permit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    TimedOut,
    Closed,
}

/// A caller in the queue.
struct Waiting<'a>(&'a Admission);

impl<'a> Waiting<'a> {
    fn new(admission: &'a Admission) -> Self {
        admission.waiting.fetch_add(1, Ordering::SeqCst);
        Self(admission)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Admission {
    /// `few` at a time as long as operations are short, never more than `most`.
    pub(super) fn new(few: usize, most: usize) -> Self {
        let most = most.max(1);
        let few = few.clamp(1, most);
        let distance = Distance::new(Instant::now());
        let state = State { permits: few, is_closing: false, distance, running: Vec::new(), admitted: 0 };
        Self {
            permits: Arc::new(Semaphore::new(few)),
            spare: Arc::new(Semaphore::new(1)),
            few,
            most,
            long: LONG,
            waiting: AtomicUsize::new(0),
            is_watched: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Waits for `limit` at most. To stop waiting costs nothing. `writes`: the operation ends with a commit.
    pub(super) async fn wait(self: &Arc<Self>, limit: Duration, writes: bool) -> Result<Permit, NotAdmitted> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(self.counted(permit, writes));
        }
        let waiting = Waiting::new(self);
        self.watch();
        let acquired = timeout(limit, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        Ok(self.counted(acquired.map_err(|_| NotAdmitted::TimedOut)?.map_err(|_| NotAdmitted::Closed)?, writes))
    }

    /// A permit beside the queue, for one caller at a time. To stop waiting costs nothing.
    pub(super) async fn beside(self: &Arc<Self>) -> Result<Permit, NotAdmitted> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(self.counted(permit, false));
        }
        let spare = Arc::clone(&self.spare).acquire_owned().await.map_err(|_| NotAdmitted::Closed)?;
        Ok(Permit { admission: Arc::clone(self), permit: Some(spare), number: None, connected: None })
    }

    fn counted(self: &Arc<Self>, permit: OwnedSemaphorePermit, writes: bool) -> Permit {
        let long = if writes { self.long } else { READS * self.long };
        let mut state = self.state();
        state.admitted += 1;
        let number = state.admitted;
        state.running.push((number, Instant::now() + long));
        drop(state);
        Permit { admission: Arc::clone(self), permit: Some(permit), number: Some(number), connected: None }
    }

    /// As long as there is a queue, looks now and then whether operations have become long.
    fn watch(self: &Arc<Self>) {
        if self.few == self.most || self.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let admission = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                sleep(admission.long).await;
                if admission.waiting.load(Ordering::SeqCst) == 0 {
                    admission.is_watched.store(false, Ordering::SeqCst);
                    // Somebody may have come in between.
                    if admission.waiting.load(Ordering::SeqCst) == 0
                        || admission.is_watched.swap(true, Ordering::SeqCst)
                    {
                        return;
                    }
                }
                let mut state = admission.state();
                let wanted = state.wanted(&admission);
                state.grow_to(wanted, &admission);
            }
        });
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Waits until everybody has given back its permit, for `limit` at most. There are none any more then.
    pub(super) async fn close(&self, limit: Duration) {
        {
            let mut state = self.state();
            state.is_closing = true;
            state.grow_to(self.most, self);
        }
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        let waited = timeout(limit, self.permits.acquire_many(all)).await;
        self.permits.close();
        self.spare.close();
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn grow_to(&mut self, wanted: usize, admission: &Admission) {
        let more = wanted.saturating_sub(self.permits);
        self.permits += more;
        admission.permits.add_permits(more);
    }

    /// How many may run at a time.
    fn wanted(&self, admission: &Admission) -> usize {
        let far = self.distance.quickest().as_micros() / PACE.as_micros();
        let short = usize::try_from(far).unwrap_or(admission.most).max(admission.few);
        let now = Instant::now();
        let long = self.running.iter().filter(|(_, when)| *when <= now).count();
        short.saturating_add(long).min(admission.most)
    }
}

impl Permit {
    /// From now on there is a connection.
    pub(super) fn begin(&mut self) {
        self.connected = Some(Instant::now());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (Some(permit), Some(number)) = (self.permit.take(), self.number) else { return };
        let mut state = self.admission.state();
        if let Some(at) = state.running.iter().position(|(running, _)| *running == number) {
            state.running.swap_remove(at);
        }
        if let Some(connected) = self.connected {
            state.distance.note(connected, Instant::now());
        }
        if state.is_closing {
            return;
        }
        let wanted = state.wanted(&self.admission);
        if state.permits > wanted {
            state.permits -= 1;
            permit.forget();
        } else {
            state.grow_to(wanted, &self.admission);
        }
    }
}

/// How long the quickest operations take.
struct Distance {
    /// In the present period and in the one before; `None`: there was no operation.
    quickest: [Option<Duration>; 2],
    since: Instant,
}

impl Distance {
    fn new(now: Instant) -> Self {
        Self { quickest: [None; 2], since: now }
    }

    fn note(&mut self, begin: Instant, now: Instant) {
        if now.duration_since(self.since) >= PERIOD {
            self.quickest = [None, self.quickest[0]];
            self.since = now;
        }
        let time = now.duration_since(begin);
        let quickest = &mut self.quickest[0];
        *quickest = Some(quickest.map_or(time, |quickest| quickest.min(time)));
    }

    fn quickest(&self) -> Duration {
        self.quickest.iter().flatten().min().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    /// For tests in which no operation is to become long.
    const NEVER: Duration = Duration::from_secs(3600);

    fn admission(few: usize, most: usize, long: Duration) -> Arc<Admission> {
        Arc::new(Admission { long, ..Admission::new(few, most) })
    }

    /// Has a permit for a moment, and tells how many have one.
    async fn short(admission: Arc<Admission>) -> usize {
        let _permit = admission.wait(LIMIT, true).await.unwrap();
        let at_a_time = admission.state().permits - admission.permits.available_permits();
        tokio::task::yield_now().await;
        at_a_time
    }

    async fn most_at_a_time(admission: &Arc<Admission>, count: usize) -> usize {
        let all: Vec<_> = (0..count).map(|_| tokio::spawn(short(Arc::clone(admission)))).collect();
        let mut most = 0;
        for one in all {
            most = most.max(one.await.unwrap());
        }
        most
    }

    /// Permits that last as long as they are kept.
    async fn several(admission: &Arc<Admission>, count: usize) -> Vec<Permit> {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(admission.wait(LIMIT, true).await.unwrap());
        }
        held
    }

    #[tokio::test]
    async fn short_operations_are_done_by_few() {
        let admission = admission(5, 55, NEVER);
        assert_eq!(most_at_a_time(&admission, 300).await, 5);
    }

    #[tokio::test]
    async fn long_operations_get_all_there_are_and_leave_few() {
        let admission = admission(5, 20, LONG);
        let held = several(&admission, 20).await;
        assert_eq!(admission.wait(3 * LONG, true).await.err(), Some(NotAdmitted::TimedOut));
        assert_eq!(admission.state().permits, 20);
        drop(held);
        assert_eq!(admission.state().permits, 5);
        assert_eq!(most_at_a_time(&admission, 1).await, 1);
    }

    #[tokio::test]
    async fn what_lasts_takes_no_turn_from_what_does_not() {
        let admission = admission(5, 20, LONG);
        let held = several(&admission, 4).await;
        sleep(2 * LONG).await;
        // One is left of the five. Each short operation that ends sees what lasts.
        for _ in 0..10 {
            drop(several(&admission, 1).await);
        }
        assert_eq!(admission.state().permits, 9);
        drop(held);
        assert_eq!(admission.state().permits, 5);
    }

    #[tokio::test]
    async fn those_who_read_make_room_later() {
        let admission = admission(2, 8, LONG);
        let begin = Instant::now();
        let _held = [admission.wait(LIMIT, false).await.unwrap(), admission.wait(LIMIT, false).await.unwrap()];
        drop(admission.wait(LIMIT, true).await.unwrap());
        assert!(begin.elapsed() >= READS * LONG, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_queue_that_moves_slowly_gets_more_permits() {
        let admission = admission(2, 20, LONG);
        let slow = |admission: Arc<Admission>| async move {
            let _permit = admission.wait(LIMIT, true).await.unwrap();
            sleep(100 * LONG).await;
        };
        let begin = Instant::now();
        let all: Vec<_> = (0..100).map(|_| tokio::spawn(slow(Arc::clone(&admission)))).collect();
        for one in all {
            one.await.unwrap();
        }
        // By two at a time it would be fifty times as long as each.
        assert!(begin.elapsed() < 2500 * LONG, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_distant_server_is_kept_busy() {
        let admission = admission(5, 55, NEVER);
        let far = |milliseconds| {
            let now = Instant::now();
            admission.state().distance.note(now - Duration::from_millis(milliseconds), now);
        };
        far(4);
        for expected in [40, 10, 5] {
            // A permit without a connection tells nothing of the distance, but adjusts to it.
            for _ in 0..50 {
                drop(several(&admission, 1).await);
            }
            assert_eq!(admission.state().permits, expected);
            assert_eq!(several(&admission, expected).await.len(), expected);
            far(if expected == 40 { 1 } else { 0 });
        }
    }

    #[test]
    fn the_distance_is_that_of_the_last_periods() {
        let begin = Instant::now();
        let mut distance = Distance::new(begin);
        let after = |periods: f64| begin + PERIOD.mul_f64(periods);
        assert_eq!(distance.quickest(), Duration::ZERO);
        for (at, took, expected) in [(0.1, 1, 1), (0.2, 9, 1), (1.1, 7, 1), (1.2, 5, 1), (2.3, 8, 5), (3.4, 9, 8)] {
            let took = Duration::from_millis(took);
            distance.note(after(at) - took, after(at));
            assert_eq!(distance.quickest(), Duration::from_millis(expected), "{at}");
        }
    }

    #[tokio::test]
    async fn permits_come_in_order_and_waiting_has_an_end() {
        let admission = admission(1, 1, LONG);
        let held = admission.wait(LIMIT, true).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..5 {
            let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _permit = admission.wait(LIMIT, true).await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.wait(Duration::from_millis(20), true).await.err(), Some(NotAdmitted::TimedOut));
        drop(held);
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_turn_along() {
        let admission = admission(2, 2, LONG);
        let held = several(&admission, 2).await;
        for _ in 0..5 {
            assert!(timeout(Duration::from_millis(7), admission.wait(LIMIT, true)).await.is_err());
        }
        assert_eq!(admission.waiting.load(Ordering::SeqCst), 0);
        drop(held);
        assert_eq!(most_at_a_time(&admission, 6).await, 2);
    }

    #[tokio::test]
    async fn none_once_closed() {
        let admission = admission(2, 8, LONG);
        let held = admission.wait(LIMIT, true).await.unwrap();
        let closing = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.close(LIMIT).await }
        });
        sleep(Duration::from_millis(30)).await;
        assert!(!closing.is_finished() && !admission.is_closed());
        drop(held);
        closing.await.unwrap();
        assert!(admission.is_closed());
        assert_eq!(admission.wait(LIMIT, true).await.err(), Some(NotAdmitted::Closed));
    }
}
