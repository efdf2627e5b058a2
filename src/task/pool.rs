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
use super::headway::Headway;
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
pub(crate) type Work = Box<dyn FnOnce(Turn) -> BoxFuture<'static, Ended> + Send>;

/// How a turn ended.
pub(crate) enum Ended {
    Over,
    /// Nothing could be begun, as the database does not answer: the task waits until its lease was renewed, and gets another turn.
    Unbegun(Work),
}

impl From<()> for Ended {
    fn from((): ()) -> Self {
        Self::Over
    }
}

/// Runs tasks, of all configurations of a worker.
pub struct Pool {
    tracker: TaskTracker,
    /// How long a task runs after the last renewal of its lease.
    held: Duration,
    state: Mutex<State>,
    changed: Notify,
    /// Of all tasks that run.
    headway: Headway,
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
    /// When its turn came to nothing.
    unbegun_at: Option<Instant>,
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
        let (state, changed) = (Mutex::new(state), Notify::new());
        Arc::new(Self { tracker, held, state, changed, headway: Headway::default() })
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
            AssertUnwindSafe(async move { drop(work(Turn::Never).await) }).catch_unwind().map(drop)
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
        F: Future<Output: Into<Ended>> + Send + 'static,
    {
        let mut state = self.lock();
        if state.waiting.len() >= MOST_WAITING {
            return Err(Error::Full);
        }
        let work: Work = Box::new(|turn| Box::pin(async move { work(turn).await.into() }));
        let entry = Waiting { id: id.to_owned(), since: Instant::now(), unbegun_at: None, work };
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

    /// Where tasks say that they go on.
    pub(super) fn headway(&self) -> &Headway {
        &self.headway
    }

    /// A number that grows while tasks go on: as data comes, is looked at or passed on.
    pub fn work_done(&self) -> u64 {
        self.headway.so_far()
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
            let is_away = first.unbegun_at.is_some_and(|at| state.renewed_at <= at);
            if is_away || Instant::now() >= state.renewed_at.max(first.since) + self.held {
                break;
            }
            let Some(Waiting { id, since, work, .. }) = state.waiting.pop_front() else { break };
            let token = CancellationToken::new();
            state.running.insert(id.clone(), token.clone());
            started.push((id, since, work, token));
        }
        drop(state);
        for (id, since, work, token) in started {
            let pool = Arc::clone(self);
            self.tracker.spawn(async move {
                let work = AssertUnwindSafe(async move { work(Turn::Begin(token)).await }).catch_unwind();
                let ended = tokio::select! {
                    // Also when the work panics, the next one can run; the panic itself is in the log already.
                    ended = work => ended.unwrap_or(Ended::Over),
                    () = pool.watch(&id, since) => unreachable!("it has no end"),
                };
                pool.end(id, since, ended);
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

    fn end(self: &Arc<Self>, id: String, since: Instant, ended: Ended) {
        let mut state = self.lock();
        state.running.remove(&id);
        if let Ended::Unbegun(work) = ended {
            let entry = Waiting { id, since, unbegun_at: Some(Instant::now()), work };
            if state.is_closed {
                drop(state);
                return self.tell_never([entry].into());
            }
            state.waiting.push_front(entry);
        }
        drop(state);
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
mod tests;
