//! The thread that writes, and the queue before it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;

use super::record::Record;
use super::sink::Sinks;

/// Records that may wait.
const LENGTH: usize = 8192;
/// How long the thread lets records gather after some were written. Under load it is then woken once for many of them, and
/// those who log need not wake it.
const PAUSE: Duration = Duration::from_millis(10);

enum Item {
    Record(Box<Record>),
    Replace(Box<Sinks>),
    End,
}

/// Where records are put.
#[derive(Clone)]
pub(super) struct Queue {
    items: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
    standard_error: Arc<AtomicBool>,
}

/// The thread; ends when dropped, with the queue written.
pub(super) struct Writer {
    queue: Queue,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// Never waits: with a full queue the record is counted as lost.
    pub(super) fn put(&self, record: Record) {
        if let Err(TrySendError::Full(_)) = self.items.try_send(Item::Record(Box::new(record))) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Writes what is queued to the old places, what comes to the new.
    pub(super) fn replace(&self, sinks: Sinks) {
        self.standard_error.store(sinks.reaches_standard_error(), Relaxed);
        // The thread lives as long as the log; and it takes from a full queue within a moment.
        let _ = self.items.send(Item::Replace(Box::new(sinks)));
    }
}

impl Writer {
    /// # Errors
    /// No thread can be had.
    pub(super) fn start(sinks: Sinks) -> io::Result<(Self, Queue)> {
        let (items, queued) = sync_channel(LENGTH);
        let dropped = Arc::new(AtomicU64::new(0));
        let standard_error = Arc::new(AtomicBool::new(sinks.reaches_standard_error()));
        let queue = Queue { items, dropped: Arc::clone(&dropped), standard_error };
        let thread =
            std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&queued, sinks, &dropped))?;
        Ok((Self { queue: queue.clone(), thread: Some(thread) }, queue))
    }

    pub(super) fn reaches_standard_error(&self) -> bool {
        self.queue.standard_error.load(Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.queue.items.send(Item::End).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // If it panicked there is nothing to write with.
            let _ = thread.join();
        }
    }
}

fn write(queued: &Receiver<Item>, mut sinks: Sinks, dropped: &AtomicU64) {
    while let Ok(first) = queued.recv() {
        sinks.check();
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Item::Record(record) => sinks.write(&record),
                Item::Replace(new) => {
                    sinks.flush();
                    sinks = *new;
                }
                Item::End => {
                    sinks.flush();
                    return;
                }
            }
            next = queued.try_recv().ok();
        }
        sinks.flush();
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            // Through the queue like any other record; it has room now.
            tracing::warn!(lost, "log records were lost: they came faster than they could be written");
        }
        park_timeout(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::record;
    use super::*;

    #[test]
    fn a_full_queue_loses_records_and_counts_them() {
        let (items, queued) = sync_channel(2);
        let queue = Queue { items, dropped: Arc::default(), standard_error: Arc::default() };
        for _ in 0..5 {
            queue.put(record(|| tracing::info!("busy")));
        }
        assert_eq!(queue.dropped.load(Relaxed), 3);
        assert_eq!(queued.try_iter().count(), 2);
    }
}
