//! Who may use a connection: no more callers at a time than the server works for well, in the order in which they came.
//!
//! A server with two cores serves fifty short queries on five connections sooner than on fifty: each connection is a process
//! or a thread of its own there, with caches of its own. So the connections above `max_pool_size` are for operations that
//! last, and for servers that are far away: one more is used whenever callers have waited for [`PATIENCE`] and nobody got a
//! turn meanwhile, and as many at once as are needed to keep a distant server busy.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// How long a queue may stand still before one more connection is used. Tokio's clock knows whole milliseconds.
const PATIENCE: Duration = Duration::from_millis(2);
/// At any distance of the server, this is what the turns are to allow: an operation for each so much time.
const PACE: Duration = Duration::from_micros(100);
/// The distance of the server is that of the quickest operation in a time of this length, or in the one before.
const PERIOD: Duration = Duration::from_secs(10);

pub(super) struct Turns {
    /// One for each operation that may run now: between `few` and `most`.
    permits: Arc<Semaphore>,
    /// One more; see [`Turns::beside`].
    spare: Arc<Semaphore>,
    few: usize,
    most: usize,
    patience: Duration,
    /// Callers in the queue.
    waiting: AtomicUsize,
    /// Callers who left the queue with a turn, counted around.
    served: AtomicUsize,
    /// The queue is looked at; see [`Turns::watch`].
    is_watched: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Permits that there are, in use or not.
    permits: usize,
    is_closing: bool,
    distance: Distance,
}

/// The right to use one connection until it is dropped.
pub(super) struct Permit {
    turns: Arc<Turns>,
    permit: Option<OwnedSemaphorePermit>,
    is_spare: bool,
    /// Since when a connection has been there; to find one does not tell how long the server takes.
    connected: Option<Instant>,
}

/// Why there is no turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    TimedOut,
    Closed,
}

/// A caller in the queue.
struct Waiting<'a>(&'a Turns);

impl<'a> Waiting<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.waiting.fetch_add(1, Ordering::SeqCst);
        Self(turns)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    /// `few` at a time as long as that is enough, never more than `most`.
    pub(super) fn new(few: usize, most: usize) -> Self {
        let most = most.max(1);
        let few = few.clamp(1, most);
        let state = State { permits: few, is_closing: false, distance: Distance::new(Instant::now()) };
        Self {
            permits: Arc::new(Semaphore::new(few)),
            spare: Arc::new(Semaphore::new(1)),
            few,
            most,
            patience: PATIENCE,
            waiting: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            is_watched: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Waits for `limit` at most. To stop waiting costs nothing.
    pub(super) async fn wait(self: &Arc<Self>, limit: Duration) -> Result<Permit, NoTurn> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(self.permit(permit, false));
        }
        let waiting = Waiting::new(self);
        self.watch();
        let turn = timeout(limit, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        let permit = turn.map_err(|_| NoTurn::TimedOut)?.map_err(|_| NoTurn::Closed)?;
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(self.permit(permit, false))
    }

    /// A turn beside the queue, for one caller at a time. To stop waiting costs nothing.
    pub(super) async fn beside(self: &Arc<Self>) -> Result<Permit, NoTurn> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(self.permit(permit, false));
        }
        let spare = Arc::clone(&self.spare).acquire_owned().await;
        Ok(self.permit(spare.map_err(|_| NoTurn::Closed)?, true))
    }

    fn permit(self: &Arc<Self>, permit: OwnedSemaphorePermit, is_spare: bool) -> Permit {
        Permit { turns: Arc::clone(self), permit: Some(permit), is_spare, connected: None }
    }

    /// Sees to it that a queue that stands still gets one more turn, as long as there is a queue.
    fn watch(self: &Arc<Self>) {
        if self.few == self.most || self.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let turns = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let before = turns.served.load(Ordering::Relaxed);
                sleep(turns.patience).await;
                if turns.waiting.load(Ordering::SeqCst) == 0 {
                    turns.is_watched.store(false, Ordering::SeqCst);
                    // Somebody may have come in between.
                    if turns.waiting.load(Ordering::SeqCst) == 0 || turns.is_watched.swap(true, Ordering::SeqCst) {
                        return;
                    }
                }
                if turns.served.load(Ordering::Relaxed) == before {
                    turns.state().grow(1, &turns);
                }
            }
        });
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Waits until everybody's turn has ended, for `limit` at most. There are no turns any more then.
    pub(super) async fn close(&self, limit: Duration) {
        {
            let mut state = self.state();
            state.is_closing = true;
            state.grow(self.most, self);
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
    /// Up to `more` permits more.
    fn grow(&mut self, more: usize, turns: &Turns) {
        let more = more.min(turns.most - self.permits);
        self.permits += more;
        turns.permits.add_permits(more);
    }

    /// How many may run at a time without anybody having to wait long.
    fn wanted(&self, turns: &Turns) -> usize {
        let far = self.distance.quickest().as_micros() / PACE.as_micros();
        usize::try_from(far).unwrap_or(turns.most).clamp(turns.few, turns.most)
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
        let Some(permit) = self.permit.take().filter(|_| !self.is_spare) else { return };
        let mut state = self.turns.state();
        if let Some(connected) = self.connected {
            state.distance.note(connected, Instant::now());
        }
        if state.is_closing {
            return;
        }
        let wanted = state.wanted(&self.turns);
        if state.permits > wanted {
            state.permits -= 1;
            permit.forget();
        } else {
            let missing = wanted - state.permits;
            state.grow(missing, &self.turns);
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
    /// For tests in which nobody's patience is to end.
    const ENDLESS: Duration = Duration::from_secs(3600);

    fn turns(few: usize, most: usize, patience: Duration) -> Arc<Turns> {
        Arc::new(Turns { patience, ..Turns::new(few, most) })
    }

    /// Has a turn for a moment, and tells how many have one.
    async fn short(turns: Arc<Turns>) -> usize {
        let _permit = turns.wait(LIMIT).await.unwrap();
        let at_a_time = turns.state().permits - turns.permits.available_permits();
        tokio::task::yield_now().await;
        at_a_time
    }

    async fn most_at_a_time(turns: &Arc<Turns>, count: usize) -> usize {
        let all: Vec<_> = (0..count).map(|_| tokio::spawn(short(Arc::clone(turns)))).collect();
        let mut most = 0;
        for one in all {
            most = most.max(one.await.unwrap());
        }
        most
    }

    /// Turns that do not end.
    async fn long(turns: &Arc<Turns>, count: usize) -> Vec<Permit> {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(turns.wait(LIMIT).await.unwrap());
        }
        held
    }

    #[tokio::test]
    async fn short_operations_are_done_by_few() {
        let turns = turns(5, 55, ENDLESS);
        assert_eq!(most_at_a_time(&turns, 300).await, 5);
    }

    #[tokio::test]
    async fn long_operations_get_all_there_are_and_leave_few() {
        let turns = turns(5, 20, PATIENCE);
        let held = long(&turns, 20).await;
        assert_eq!(turns.wait(3 * PATIENCE).await.err(), Some(NoTurn::TimedOut));
        assert_eq!(turns.state().permits, 20);
        drop(held);
        assert_eq!(turns.state().permits, 5);
        assert_eq!(most_at_a_time(&turns, 1).await, 1);
    }

    #[tokio::test]
    async fn a_distant_server_is_kept_busy() {
        let turns = turns(5, 55, ENDLESS);
        let far = |milliseconds| {
            let now = Instant::now();
            turns.state().distance.note(now - Duration::from_millis(milliseconds), now);
        };
        far(4);
        for expected in [40, 10, 5] {
            // A turn without a connection tells nothing of the distance, but adjusts to it.
            for _ in 0..50 {
                drop(long(&turns, 1).await);
            }
            assert_eq!(turns.state().permits, expected);
            assert_eq!(long(&turns, expected).await.len(), expected);
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
    async fn turns_come_in_order_and_waiting_has_an_end() {
        let turns = turns(1, 1, PATIENCE);
        let held = turns.wait(LIMIT).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..5 {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _permit = turns.wait(LIMIT).await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.wait(Duration::from_millis(20)).await.err(), Some(NoTurn::TimedOut));
        drop(held);
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_turn_along() {
        let turns = turns(2, 2, PATIENCE);
        let held = long(&turns, 2).await;
        for _ in 0..5 {
            assert!(timeout(Duration::from_millis(7), turns.wait(LIMIT)).await.is_err());
        }
        assert_eq!(turns.waiting.load(Ordering::SeqCst), 0);
        drop(held);
        assert_eq!(most_at_a_time(&turns, 6).await, 2);
    }

    #[tokio::test]
    async fn none_once_closed() {
        let turns = turns(2, 8, PATIENCE);
        let held = turns.wait(LIMIT).await.unwrap();
        let closing = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.close(LIMIT).await }
        });
        sleep(Duration::from_millis(30)).await;
        assert!(!closing.is_finished() && !turns.is_closed());
        drop(held);
        closing.await.unwrap();
        assert!(turns.is_closed());
        assert_eq!(turns.wait(LIMIT).await.err(), Some(NoTurn::Closed));
    }
}
