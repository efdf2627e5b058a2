//! Threads for work that waits on disks or burns CPU, apart from the runtime's.
//!
//! Tokio's blocking pool is shared by everything in the process; a hung mount or sixty slow uploads would use it up. Each
//! store therefore has its own small pools: threads start when there is work, at most `limit` of them, and end when idle.
//!
//! A thread may lower its priority, but without privileges not raise it again. So work of each [`Priority`] has threads of its own.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Priority, demand};
use crate::sys::priority;

type Task = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// How often a thread that leaves its processor to requests looks whether some still come in.
const HOLD: Duration = Duration::from_millis(20);

/// Two pools for the same work, one of each priority.
pub(super) struct Pools {
    request: Arc<Pool>,
    background: Arc<Pool>,
}

impl Pools {
    /// Each has at most `limit` threads. `name`: as of [`Pool::new`], at most twelve bytes; threads of the background have `-bg` behind it.
    pub(super) fn new(name: &str, limit: usize) -> Self {
        Self { request: Pool::new(name, limit), background: Pool::in_background(&format!("{name}-bg"), limit) }
    }

    /// The same for work that keeps a processor busy, at most one thread for each of `processors`: that of the background leaves a quarter
    /// of them, but one at least, to requests as long as some come in.
    pub(super) fn of_processors(name: &str, processors: usize) -> Self {
        let beside_requests = processors.saturating_sub((processors / 4).max(1)).max(1);
        let held = Held { limit: beside_requests, during: demand::is_there };
        let background = Pool::with_limits(&format!("{name}-bg"), Priority::Background, processors, Some(held));
        Self { request: Pool::new(name, processors), background }
    }

    pub(super) fn of(&self, priority: Priority) -> &Arc<Pool> {
        match priority {
            Priority::Request => &self.request,
            Priority::Background => &self.background,
        }
    }
}

/// A bounded set of threads; work beyond their number waits in order.
pub(super) struct Pool {
    inner: Arc<Inner>,
    strands: Arc<AtomicUsize>,
}

/// Held by each strand of a pool.
pub(super) struct Membership(Arc<AtomicUsize>);

impl Membership {
    /// How many strands the pool has, this one included.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Inner {
    name: String,
    priority: Priority,
    limit: usize,
    held: Option<Held>,
    state: Mutex<State>,
    work: Condvar,
}

/// A limit that holds at times.
#[derive(Clone, Copy)]
struct Held {
    /// So many threads then work at most; the others wait for their next tasks.
    limit: usize,
    during: fn() -> bool,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    /// Makes a pool of at most `limit` threads (at least one); none is started yet. The first fifteen bytes of `name` are
    /// what `top -H` shows.
    pub(super) fn new(name: &str, limit: usize) -> Arc<Self> {
        Self::with_priority(name, Priority::Request, limit)
    }

    /// The same for work that no request waits for.
    pub(super) fn in_background(name: &str, limit: usize) -> Arc<Self> {
        Self::with_priority(name, Priority::Background, limit)
    }

    fn with_priority(name: &str, priority: Priority, limit: usize) -> Arc<Self> {
        Self::with_limits(name, priority, limit, None)
    }

    fn with_limits(name: &str, priority: Priority, limit: usize, held: Option<Held>) -> Arc<Self> {
        let (name, limit) = (name.to_owned(), limit.max(1));
        let inner = Inner { name, priority, limit, held, state: Mutex::default(), work: Condvar::new() };
        Arc::new(Self { inner: Arc::new(inner), strands: Arc::default() })
    }

    /// Counts a strand for as long as it lives.
    pub(super) fn join(&self) -> Membership {
        self.strands.fetch_add(1, Ordering::Relaxed);
        Membership(Arc::clone(&self.strands))
    }

    /// Queues a task.
    ///
    /// # Errors
    /// When the pool has no thread and none can be started; the task is dropped.
    pub(super) fn submit(&self, task: Task) -> io::Result<()> {
        let mut state = self.inner.lock();
        state.tasks.push_back(task);
        if state.threads - state.idle >= self.inner.most() {
            // One of those that work takes it, and to wake another one would be for nothing.
            return Ok(());
        }
        if state.idle < state.tasks.len() && state.threads < self.inner.limit {
            let inner = Arc::clone(&self.inner);
            match thread::Builder::new().name(self.inner.name.clone()).spawn(move || inner.serve()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    let dropped = state.tasks.pop_back();
                    drop(state);
                    drop(dropped);
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, pool = %self.inner.name, "cannot start another storage thread"),
            }
        }
        drop(state);
        self.inner.work.notify_one();
        Ok(())
    }

    /// Runs a function on one of the threads. When the returned future is dropped, the function still runs.
    ///
    /// # Errors
    /// No thread could be had, or the function panicked.
    pub(super) async fn run<T: Send + 'static>(&self, function: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (reply, outcome) = oneshot::channel();
        let task = Box::new(move || {
            // Nobody listens any more when the caller's future was dropped.
            let _ = reply.send(function());
        });
        self.submit(task)?;
        outcome.await.map_err(|_| io::Error::other("a storage task ended without an outcome"))
    }

    /// Threads at work or tasks waiting, in percent of the limit.
    pub(super) fn usage(&self) -> usize {
        let state = self.inner.lock();
        (state.threads - state.idle + state.tasks.len()) * 100 / self.inner.limit
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.work.notify_all();
    }
}

impl Inner {
    fn serve(&self) {
        if self.priority == Priority::Background {
            priority::give_way();
        }
        while let Some(task) = self.next() {
            if catch_unwind(AssertUnwindSafe(task)).is_err() {
                tracing::error!(pool = %self.name, "a storage task panicked");
            }
        }
    }

    /// The next task; `None` ends the thread, which is then no longer counted.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            let is_held = state.threads - state.idle > self.most();
            if !is_held && let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.closed && state.tasks.is_empty() {
                break;
            }
            state.idle += 1;
            let has_work = !state.tasks.is_empty();
            let time = if has_work { HOLD } else { IDLE };
            let (woken, wait) = self.work.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && !has_work && state.tasks.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }

    /// How many threads may work at this time.
    fn most(&self) -> usize {
        self.held.filter(|held| (held.during)()).map_or(self.limit, |held| held.limit)
    }

    /// No code that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;

    use rustix::process::getpriority_process;

    use super::super::StoreError;
    use super::*;

    #[tokio::test]
    async fn threads_of_the_background_give_way_and_no_others() {
        let pools = Pools::new("test", 1);
        let share = || (getpriority_process(None).unwrap(), priority::slice());
        let own = share();
        let lower = ((own.0 + priority::NICER).min(19), own.1.map(|_| priority::SLICE));
        for (priority, expected) in [
            (Priority::Request, own),
            (Priority::Background, lower),
            // The same thread once more.
            (Priority::Background, lower),
            (Priority::Request, own),
        ] {
            assert_eq!(pools.of(priority).run(share).await.ok(), Some(expected), "{priority:?}");
        }
        assert_eq!(share(), own);
    }

    #[tokio::test]
    async fn a_thread_that_is_made_by_one_of_the_background_is_as_nice() {
        let pool = Pool::in_background("test", 2);
        let maker = Arc::clone(&pool);
        let both = pool.run(move || {
            let niceness = || getpriority_process(None).unwrap();
            let (tell, told) = std::sync::mpsc::channel();
            maker.submit(Box::new(move || tell.send(niceness()).unwrap())).unwrap();
            [niceness(), told.recv().unwrap()]
        });
        let [first, second] = both.await.unwrap();
        assert_eq!(first, second);
    }

    #[tokio::test]
    async fn tasks_run_at_the_same_time_up_to_the_limit() {
        let pool = Pool::new("test", 3);
        let barrier = Arc::new(Barrier::new(3));
        let meet = || {
            let barrier = Arc::clone(&barrier);
            pool.run(move || barrier.wait().is_leader())
        };
        let (one, two, three) = tokio::join!(meet(), meet(), meet());
        assert_eq!([one, two, three].into_iter().filter(|leader| matches!(leader, Ok(true))).count(), 1);
        assert_eq!(pool.inner.lock().threads, 3);
    }

    #[tokio::test]
    async fn never_more_threads_than_allowed() {
        let pool = Pool::new("test", 2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..50).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            pool.run(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for done in futures_util::future::join_all(jobs).await {
            done.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn fewer_threads_work_as_long_as_they_are_held() {
        static IS_HELD: AtomicBool = AtomicBool::new(false);
        let held = Held { limit: 1, during: || IS_HELD.load(Ordering::SeqCst) };
        let pool = Pool::with_limits("test", Priority::Background, 3, Some(held));
        let meet = || {
            let barrier = Arc::new(Barrier::new(3));
            let meeting = (0..3).map(|_| {
                let barrier = Arc::clone(&barrier);
                pool.run(move || barrier.wait().is_leader())
            });
            futures_util::future::join_all(meeting)
        };
        let met = |outcomes: Vec<io::Result<bool>>| outcomes.iter().all(Result::is_ok);
        assert!(met(meet().await));
        IS_HELD.store(true, Ordering::SeqCst);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..20).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            pool.run(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::park_timeout(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        assert!(futures_util::future::join_all(jobs).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), 1);
        IS_HELD.store(false, Ordering::SeqCst);
        assert!(met(meet().await));
    }

    #[tokio::test]
    async fn a_panic_costs_one_task() {
        let pool = Pool::new("test", 1);
        let panicked = pool
            .run(|| {
                if pool_is_real() {
                    panic!("on purpose")
                }
            })
            .await;
        assert!(!StoreError::without_thread(panicked.unwrap_err()).is_exhausted());
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn threads_end_with_their_pool() {
        let pool = Pool::new("test", 2);
        let inner = Arc::clone(&pool.inner);
        pool.run(|| ()).await.unwrap();
        drop(pool);
        for _ in 0..500 {
            if inner.lock().threads == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a thread outlived its pool by five seconds");
    }

    fn pool_is_real() -> bool {
        true
    }
}
