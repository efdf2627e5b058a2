//! What the worker is doing, in numbers and in a line for `systemctl status`.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

use super::gate::Gate;
use super::listener::Address;

/// Counts of the whole worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    in_flight: AtomicUsize,
    /// The most that were in flight together, since work was last found to be over.
    height: AtomicUsize,
    bytes: AtomicU64,
    /// `bytes` when work was last found to be over.
    bytes_then: AtomicU64,
    changed: Notify,
}

/// As many requests together are work that leaves traces in memory.
const MANY: usize = 16;
/// So is as much data, in bytes.
const MUCH: u64 = 64 << 20;

impl Counters {
    pub(super) fn request_began(&self) {
        let before = self.in_flight.fetch_add(1, Relaxed);
        self.height.fetch_max(before + 1, Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn connection_changed(&self) {
        self.changed.notify_one();
    }

    pub(super) fn bytes_moved(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Requests whose response has not left whole.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Whether there were many requests at once, or much data, and hardly any request is left; once for each time.
    pub(super) fn work_is_over(&self) -> bool {
        let (now, height, bytes) = (self.in_flight(), self.height.load(Relaxed), self.bytes());
        let was_work = height >= MANY || bytes.saturating_sub(self.bytes_then.load(Relaxed)) >= MUCH;
        let is_over = was_work && now <= height / 8;
        if is_over {
            self.height.store(now, Relaxed);
            self.bytes_then.store(bytes, Relaxed);
        }
        is_over
    }

    /// Bytes in and out on all connections since the start.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Waits until one of the numbers is another.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The words around the numbers.
#[derive(Debug, Default)]
pub(super) struct Status {
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    addresses: Vec<Address>,
    /// What became of the last reload.
    reload: Option<String>,
}

impl Status {
    pub(super) fn set_addresses(&self, addresses: Vec<Address>) {
        self.lock().addresses = addresses;
    }

    pub(super) fn set_reload(&self, words: String) {
        self.lock().reload = Some(words);
    }

    /// One line.
    pub(super) fn line(&self, gate: &Gate, counters: &Counters) -> String {
        let words = self.lock();
        let mut line = format!("version {}", env!("CARGO_PKG_VERSION"));
        for (index, address) in words.addresses.iter().enumerate() {
            let _ = write!(line, "{} {address}", if index == 0 { ", listening on" } else { "," });
        }
        let (open, in_flight) = (gate.open(), counters.in_flight());
        let _ = write!(
            line,
            "; {open} open connection{}, {in_flight} request{} in flight",
            plural(open),
            plural(in_flight)
        );
        if let Some(reload) = &words.reload {
            let _ = write!(line, "; {reload}");
        }
        line
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_over_once_when_hardly_any_request_is_left() {
        let counters = Counters::default();
        let (begin, end) = (|_| counters.request_began(), |_| counters.request_ended());
        (1..MANY).for_each(begin);
        (1..MANY).for_each(end);
        assert!(!counters.work_is_over(), "that was none");
        (0..MANY * 2).for_each(begin);
        assert!(!counters.work_is_over(), "it goes on");
        (4..MANY * 2).for_each(end);
        assert_eq!(counters.in_flight(), 4);
        assert!(counters.work_is_over());
        assert!(!counters.work_is_over());

        counters.bytes_moved(usize::try_from(MUCH).unwrap());
        assert!(!counters.work_is_over(), "an upload goes on");
        (0..4).for_each(end);
        assert!(counters.work_is_over());
        assert!(!counters.work_is_over());
    }

    #[test]
    fn the_line_tells_what_is_going_on() {
        let (status, gate, counters) = (Status::default(), Gate::new(9), Counters::default());
        let _permit = gate.enter();
        status.set_addresses(vec![Address::Tcp("127.0.0.1:9292".parse().unwrap())]);
        status.set_reload("configuration reloaded".to_owned());
        let line = status.line(&gate, &counters);
        let expected = "listening on 127.0.0.1:9292; 1 open connection, 0 requests in flight; configuration reloaded";
        assert!(line.ends_with(expected), "{line}");
    }
}
