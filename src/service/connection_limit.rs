//! The cap on connections: how many are open, and which one to close when it is full.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::connection::activity::Activity;
use super::descriptors;

/// A connection is not closed to make room for another before it has been idle for this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the one that is asked to leave may take for it before another is asked.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Admits as many connections as the worker may have.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    state: std::sync::Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// What the descriptors of this process allow.
    ceiling: usize,
    open: usize,
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// The right to be a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limiter: Arc<ConnectionLimit>,
    id: u64,
}

impl ConnectionLimit {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let ceiling = descriptors::most_connections();
        let state = State { limit: usize::MAX, ceiling, open: 0, next: 0, connections: HashMap::new() };
        let limiter = Arc::new(Self { state: std::sync::Mutex::new(state), changed: Notify::new() });
        limiter.set_limit(limit);
        limiter
    }

    /// Waits until there is a free place. While there is none, the connection that has been idle for longest is asked to
    /// leave, so that idle clients do not keep others out.
    pub(super) async fn wait_for_room(&self) {
        while !self.has_room() {
            self.evict();
            self.changed().await;
        }
    }

    /// Waits until a connection has ended, or for a moment.
    pub(super) async fn changed(&self) {
        // What comes between a look and the wait for it is noticed at the next look.
        let _ = tokio::time::timeout(PATIENCE / 4, self.changed.notified()).await;
    }

    /// Takes a place, whether there is room or not: an accepted connection counts at once.
    pub(super) fn enter(self: &Arc<Self>) -> Permit {
        let mut state = self.lock();
        state.open += 1;
        state.next += 1;
        Permit { limiter: Arc::clone(self), id: state.next }
    }

    /// Applies to new connections; open ones are kept.
    pub(super) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
        self.changed.notify_waiters();
    }

    /// Words for the operator where there are descriptors for fewer connections than the worker may have.
    pub(super) fn shortage(&self) -> Option<String> {
        let State { limit, ceiling, .. } = *self.lock();
        (limit > ceiling).then(|| {
            format!(
                "[service] max_connections is {limit}, but there are descriptors for {ceiling} connections; raise \
                 LimitNOFILE= of the unit, or the limit of the shell (ulimit -n)"
            )
        })
    }

    /// Open connections.
    pub(super) fn open(&self) -> usize {
        self.lock().open
    }

    fn has_room(&self) -> bool {
        let state = self.lock();
        state.open < state.limit.min(state.ceiling)
    }

    /// Asks the connection that has been idle for longest to leave, unless one has been asked just now.
    pub(super) fn evict(&self) {
        let state = self.lock();
        let mut longest = None;
        for activity in state.connections.values() {
            match (activity.leaving_for(), activity.idle_for()) {
                (Some(time), _) if time < LEAVE_TIMEOUT => return,
                (None, Some(idle)) if idle >= PATIENCE && longest.is_none_or(|(most, _)| idle > most) => {
                    longest = Some((idle, activity));
                }
                _ => {}
            }
        }
        if let Some((_, activity)) = longest {
            activity.ask_to_leave();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Permit {
    /// Makes the connection known as one that can be asked to leave.
    pub(super) fn register(&self, activity: &Arc<Activity>) {
        self.limiter.lock().connections.insert(self.id, Arc::clone(activity));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        state.open -= 1;
        state.connections.remove(&self.id);
        drop(state);
        self.limiter.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::counters::Counters;

    fn waiting(limiter: &Arc<ConnectionLimit>) -> tokio::task::JoinHandle<()> {
        let limiter = Arc::clone(limiter);
        tokio::spawn(async move { limiter.wait_for_room().await })
    }

    #[tokio::test]
    async fn the_next_one_waits_until_somebody_leaves() {
        let limiter = ConnectionLimit::new(2);
        limiter.wait_for_room().await;
        let (one, _two) = (limiter.enter(), limiter.enter());
        let next = waiting(&limiter);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!next.is_finished(), "no open connection is known to be idle");
        drop(one);
        next.await.unwrap();
        let _three = limiter.enter();
        assert_eq!(limiter.open(), 2);
        let next = waiting(&limiter);
        limiter.set_limit(3);
        next.await.unwrap();
    }

    #[tokio::test]
    async fn the_longest_idle_connection_is_asked_to_leave_for_another() {
        let limiter = ConnectionLimit::new(2);
        let (one, two) = (limiter.enter(), limiter.enter());
        let counters = Arc::new(Counters::default());
        let (first, second) = (Activity::new(Arc::clone(&counters)), Activity::new(counters));
        one.register(&first);
        two.register(&second);
        let busy = first.begin();
        let next = waiting(&limiter);
        tokio::time::timeout(Duration::from_secs(10), second.asked_to_leave()).await.unwrap();
        assert!(!first.is_leaving(), "it has a request in flight");
        drop(two);
        next.await.unwrap();
        drop(busy);
    }
}
