//! The tasks of a worker: some run at a time, others wait for their turn.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::Error;
use crate::image::LEASE;

/// Tasks that may wait for their turn. Each holds its request in memory, and its image for itself.
const MOST_WAITING: usize = 1000;

/// Tasks that are told side by side that they have no turn any more.
const TOLD_AT_A_TIME: usize = 8;

/// How long after the last renewal of its lease a task is given up here: early enough for its work to have ended when another host ends it.
pub(crate) const HELD: Duration = LEASE.saturating_sub(Duration::from_secs(15));

/// What has become of a task's wait.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It runs. It should end soon when the token is cancelled, as the task is no longer this worker's then.
    Begin(CancellationToken),
    /// The worker ends before the task has begun.
    Never,
}

/// The work of one task.
type Work = Box<dyn FnOnce(Turn) -> BoxFuture<'static, ()> + Send>;

/// Runs tasks, of all configurations of a worker.
pub struct Pool {
    tracker: TaskTracker,
    /// How long a task runs after the last renewal of its lease.
    held: Duration,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// How many may run at a time.
    limit: usize,
    running: BTreeMap<String, CancellationToken>,
    waiting: VecDeque<Waiting>,
    /// When the last renewal of all leases was begun that went well.
    renewed_at: Instant,
    /// Nothing begins any more.
    is_closed: bool,
}

/// A task that waits for its turn.
struct Waiting {
    id: String,
    /// When its row was new.
    since: Instant,
    work: Work,
}

impl Pool {
    /// `tracker`: whoever ends the process waits for it.
    pub fn new(tracker: TaskTracker) -> Arc<Self> {
        Self::holding(tracker, HELD)
    }

    /// As [`Pool::new`]; tasks are given up so long after the last renewal of their leases.
    fn holding(tracker: TaskTracker, held: Duration) -> Arc<Self> {
        let (running, waiting) = (BTreeMap::new(), VecDeque::new());
        let state = State { limit: 1, running, waiting, renewed_at: Instant::now(), is_closed: false };
        Arc::new(Self { tracker, held, state: Mutex::new(state), changed: Notify::new() })
    }

    /// How many tasks may run at a time from now on.
    pub fn set_limit(self: &Arc<Self>, limit: usize) {
        self.lock().limit = limit.max(1);
        self.start_waiting();
    }

    /// Whether another task would be taken.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        !state.is_closed && state.waiting.len() < MOST_WAITING
    }

    /// Nothing begins from now on: the worker ends when what runs has ended. What waits is told.
    pub fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.tell_never(waiting);
        self.changed.notify_one();
    }

    fn tell_never(&self, waiting: VecDeque<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let told = stream::iter(waiting).for_each_concurrent(TOLD_AT_A_TIME, |Waiting { work, .. }| {
            AssertUnwindSafe(async move { work(Turn::Never).await }).catch_unwind().map(drop)
        });
        self.tracker.spawn(told);
    }

    /// Runs a task when there is room.
    ///
    /// # Errors
    /// [`Error::Full`]
    pub(crate) fn submit<F>(
        self: &Arc<Self>,
        id: &str,
        work: impl FnOnce(Turn) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.lock();
        if state.waiting.len() >= MOST_WAITING {
            return Err(Error::Full);
        }
        let entry = Waiting { id: id.to_owned(), since: Instant::now(), work: Box::new(|turn| Box::pin(work(turn))) };
        if state.is_closed {
            drop(state);
            self.tell_never([entry].into());
            return Ok(());
        }
        state.waiting.push_back(entry);
        drop(state);
        self.start_waiting();
        Ok(())
    }

    /// The ids of all tasks that this worker has.
    pub(crate) fn ids(&self) -> Vec<String> {
        let state = self.lock();
        state.running.keys().chain(state.waiting.iter().map(|waiting| &waiting.id)).cloned().collect()
    }

    /// The leases of all tasks are renewed: the database was asked to at that time. What waited for that begins.
    pub(crate) fn renewed(self: &Arc<Self>, asked_at: Instant) {
        let mut state = self.lock();
        state.renewed_at = state.renewed_at.max(asked_at);
        drop(state);
        self.start_waiting();
    }

    /// Ends the work on a task that is somebody else's by now.
    pub(crate) fn give_up(&self, id: &str) {
        let mut state = self.lock();
        state.waiting.retain(|waiting| waiting.id != id);
        if let Some(token) = state.running.get(id) {
            token.cancel();
        }
    }

    /// How many tasks run, and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.running.len(), state.waiting.len())
    }

    /// Waits until the counts may be others.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn start_waiting(self: &Arc<Self>) {
        let mut state = self.lock();
        let mut started = Vec::new();
        while !state.is_closed && state.running.len() < state.limit {
            let Some(first) = state.waiting.front() else { break };
            // While the database is away a task could not even be begun, and would fail instead of waiting.
            if Instant::now() >= state.renewed_at.max(first.since) + self.held {
                break;
            }
            let Some(Waiting { id, since, work }) = state.waiting.pop_front() else { break };
            let token = CancellationToken::new();
            state.running.insert(id.clone(), token.clone());
            started.push((id, since, work, token));
        }
        drop(state);
        for (id, since, work, token) in started {
            let pool = Arc::clone(self);
            self.tracker.spawn(async move {
                let work = AssertUnwindSafe(async move { work(Turn::Begin(token)).await }).catch_unwind();
                tokio::select! {
                    // Also when the work panics, the next one can run; the panic itself is in the log already.
                    _ = work => {}
                    () = pool.watch(&id, since) => unreachable!("it has no end"),
                }
                pool.end(&id);
            });
        }
        self.changed.notify_one();
    }

    /// Gives a task up whose lease could not be renewed in time. Does not end.
    async fn watch(&self, id: &str, since: Instant) {
        loop {
            let over_at = self.lock().renewed_at.max(since) + self.held;
            if Instant::now() >= over_at {
                break;
            }
            sleep_until(over_at).await;
        }
        warn!(task_id = id, "a task is given up, as the database could not be told that this worker still has it");
        self.give_up(id);
        pending().await
    }

    fn end(self: &Arc<Self>, id: &str) {
        self.lock().running.remove(id);
        self.start_waiting();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn few_run_at_a_time_and_a_panic_frees_its_place() {
        let pool = Pool::new(TaskTracker::new());
        pool.set_limit(2);
        let (open, ran) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        for number in 0..5 {
            let (open, ran) = (Arc::clone(&open), Arc::clone(&ran));
            let work = move |_| async move {
                open.notified().await;
                ran.fetch_add(1, Ordering::SeqCst);
                assert_ne!(number, 1, "of the test");
            };
            pool.submit(&number.to_string(), work).unwrap();
        }
        yield_now().await;
        assert_eq!(pool.counts(), (2, 3));
        assert_eq!(pool.ids(), ["0", "1", "2", "3", "4"]);
        pool.give_up("4");
        for left in (0..4).rev() {
            open.notify_one();
            while pool.ids().len() > left {
                yield_now().await;
            }
        }
        assert_eq!((pool.counts(), ran.load(Ordering::SeqCst)), ((0, 0), 4));
    }

    #[tokio::test]
    async fn a_task_that_is_given_up_is_told() {
        let pool = Pool::new(TaskTracker::new());
        let work = |turn| async move {
            let Turn::Begin(token) = turn else { panic!("{turn:?}") };
            token.cancelled().await;
        };
        pool.submit("a", work).unwrap();
        pool.give_up("a");
        while !pool.ids().is_empty() {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_whose_lease_is_not_renewed_in_time_is_given_up() {
        assert!(HELD < LEASE, "another host would be first");
        const SHORT: Duration = Duration::from_millis(100);
        let pool = || Pool::holding(TaskTracker::new(), SHORT);
        let submit = |pool: &Arc<Pool>| {
            let work = |turn| async move {
                let Turn::Begin(token) = turn else { panic!("{turn:?}") };
                token.cancelled().await;
            };
            pool.submit("a", work).unwrap();
        };
        let (late, renewed) = (pool(), pool());
        submit(&renewed);
        renewed.renewed(Instant::now() + LEASE);
        sleep(SHORT * 3).await;
        assert_eq!(renewed.ids(), ["a"]);
        // Its row is younger than the last renewal.
        let begun = Instant::now();
        submit(&late);
        while !late.ids().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn what_waits_stays_until_the_leases_are_renewed_again() {
        const SHORT: Duration = Duration::from_millis(100);
        let pool = Pool::holding(TaskTracker::new(), SHORT);
        let begun = Arc::new(AtomicUsize::new(0));
        for id in ["running", "waiting", "last"] {
            let begun = Arc::clone(&begun);
            let work = move |turn| async move {
                let Turn::Begin(token) = turn else { panic!("{turn:?}") };
                begun.fetch_add(1, Ordering::SeqCst);
                token.cancelled().await;
            };
            pool.submit(id, work).unwrap();
        }
        pool.renewed(Instant::now());
        while pool.counts().0 > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((begun.load(Ordering::SeqCst), pool.ids()), (1, vec!["waiting".to_owned(), "last".to_owned()]));
        pool.set_limit(2);
        assert_eq!(pool.counts(), (0, 2));
        pool.renewed(Instant::now() + LEASE);
        assert_eq!(pool.counts(), (2, 0));
        while begun.load(Ordering::SeqCst) < 3 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_waits_when_the_worker_ends_never_begins_and_is_told() {
        let tracker = TaskTracker::new();
        let pool = Pool::new(tracker.clone());
        let (open, told) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
        let submit = |name: &'static str| {
            let (open, told) = (Arc::clone(&open), Arc::clone(&told));
            let work = move |turn| async move {
                if matches!(turn, Turn::Begin(_)) {
                    open.notified().await;
                }
                told.lock().unwrap().push((name, matches!(turn, Turn::Begin(_))));
                assert_ne!(name, "second", "of the test");
            };
            pool.submit(name, work).unwrap();
        };
        for name in ["first", "second", "third"] {
            submit(name);
        }
        pool.close();
        assert!(!pool.has_room());
        submit("late");
        assert_eq!(pool.counts(), (1, 0));
        open.notify_one();
        tracker.close();
        tracker.wait().await;
        let mut told = told.lock().unwrap().clone();
        told.sort_unstable();
        assert_eq!(told, [("first", true), ("late", false), ("second", false), ("third", false)]);
    }

    #[tokio::test]
    async fn not_all_may_wait() {
        let pool = Pool::new(TaskTracker::new());
        for number in 0..=MOST_WAITING {
            pool.submit(&number.to_string(), |_| pending()).unwrap();
        }
        assert!(!pool.has_room());
        assert!(matches!(pool.submit("more", |_| pending()), Err(Error::Full)));
        pool.set_limit(2);
        assert!(pool.has_room());
    }
}
