//! The cap on connections: who is inside, and whom to send away when it is full.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::connection::activity::Activity;

/// A connection is not closed to make room for another before it has been idle for this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Admits as many connections as the worker may have.
#[derive(Debug)]
pub(super) struct Gate {
    inside: std::sync::Mutex<Inside>,
    changed: Notify,
}

#[derive(Debug)]
struct Inside {
    limit: usize,
    open: usize,
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// The right to be a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    id: u64,
}

impl Gate {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let inside = Inside { limit, open: 0, next: 0, connections: HashMap::new() };
        Arc::new(Self { inside: std::sync::Mutex::new(inside), changed: Notify::new() })
    }

    /// Waits until there is a free place. While there is none, the connection that has been idle for longest is asked to
    /// leave, so that idle clients do not keep others out.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.has_room() {
                return;
            }
            self.evict();
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(PATIENCE / 4) => {}
            }
        }
    }

    /// Takes a place, be there room or not: who has been accepted is inside.
    pub(super) fn enter(self: &Arc<Self>) -> Permit {
        let mut inside = self.lock();
        inside.open += 1;
        inside.next += 1;
        Permit { gate: Arc::clone(self), id: inside.next }
    }

    /// From now on. Those inside stay.
    pub(super) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
        self.changed.notify_waiters();
    }

    /// Connections inside.
    pub(super) fn open(&self) -> usize {
        self.lock().open
    }

    fn has_room(&self) -> bool {
        let inside = self.lock();
        inside.open < inside.limit
    }

    fn evict(&self) {
        let inside = self.lock();
        if inside.connections.values().any(|activity| activity.is_leaving()) {
            return;
        }
        let idle = inside.connections.values().filter_map(|activity| Some((activity.idle_for()?, activity)));
        if let Some((idle, activity)) = idle.max_by_key(|(idle, _)| *idle)
            && idle >= PATIENCE
        {
            activity.ask_to_leave();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Permit {
    /// Makes the connection known as one that can be asked to leave.
    pub(super) fn register(&self, activity: &Arc<Activity>) {
        self.gate.lock().connections.insert(self.id, Arc::clone(activity));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.open -= 1;
        inside.connections.remove(&self.id);
        drop(inside);
        self.gate.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::counters::Counters;

    fn waiting(gate: &Arc<Gate>) -> tokio::task::JoinHandle<()> {
        let gate = Arc::clone(gate);
        tokio::spawn(async move { gate.room().await })
    }

    #[tokio::test]
    async fn the_next_one_waits_until_somebody_leaves() {
        let gate = Gate::new(2);
        gate.room().await;
        let (one, _two) = (gate.enter(), gate.enter());
        let next = waiting(&gate);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!next.is_finished(), "nobody inside is known to be idle");
        drop(one);
        next.await.unwrap();
        let _three = gate.enter();
        assert_eq!(gate.open(), 2);
        let next = waiting(&gate);
        gate.set_limit(3);
        next.await.unwrap();
    }

    #[tokio::test]
    async fn the_longest_idle_connection_is_asked_to_leave_for_another() {
        let gate = Gate::new(2);
        let (one, two) = (gate.enter(), gate.enter());
        let counters = Arc::new(Counters::default());
        let (first, second) = (Activity::new(Arc::clone(&counters)), Activity::new(counters));
        one.register(&first);
        two.register(&second);
        let busy = first.begin();
        let next = waiting(&gate);
        tokio::time::timeout(Duration::from_secs(10), second.asked_to_leave()).await.unwrap();
        assert!(!first.is_leaving(), "it has a request in flight");
        drop(two);
        next.await.unwrap();
        drop(busy);
    }
}
