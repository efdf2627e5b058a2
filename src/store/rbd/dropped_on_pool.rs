//! Handles whose closing blocks.

use std::sync::Arc;

use super::super::pool::Pool;

/// A value that is dropped on a thread of the pool, on whichever thread its owner drops it.
pub(super) struct DroppedOnPool<T: Send + 'static> {
    /// `None` only within `drop`.
    thing: Option<T>,
    threads: Arc<Pool>,
}

impl<T: Send + 'static> DroppedOnPool<T> {
    pub(super) fn new(thing: T, threads: &Arc<Pool>) -> Self {
        Self { thing: Some(thing), threads: Arc::clone(threads) }
    }

    pub(super) fn get(&self) -> Option<&T> {
        self.thing.as_ref()
    }
}

impl<T: Send + 'static> Drop for DroppedOnPool<T> {
    fn drop(&mut self) {
        let thing = self.thing.take();
        // Without a thread it is dropped here: late is better than never.
        let _ = self.threads.submit(Box::new(move || drop(thing)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    struct Told(mpsc::Sender<thread::ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn the_end_comes_on_another_thread() {
        let (sender, told) = mpsc::channel();
        let threads = Pool::new("test", 1);
        let thing = DroppedOnPool::new(Told(sender), &threads);
        assert!(thing.get().is_some());
        drop(threads);
        drop(thing);
        assert_ne!(told.recv().unwrap(), thread::current().id());
    }
}
