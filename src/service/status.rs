//! What the worker is doing, in a line for `systemctl status`.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use super::connection_limit::ConnectionLimit;
use super::counters::Counters;
use super::jobs::Board;
use super::listener::Address;
use super::shared::Shared;
use crate::task::Pool;

/// What the status line says beside the numbers.
#[derive(Debug)]
pub(super) struct Status {
    details: Mutex<Details>,
    jobs: Arc<Board>,
    tasks: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Details {
    addresses: Vec<Address>,
    /// The outcome of the last reload.
    reload: Option<String>,
}

impl Status {
    pub(super) fn new(jobs: Arc<Board>, tasks: Arc<Pool>) -> Self {
        Self { details: Mutex::default(), jobs, tasks }
    }

    pub(super) fn set_addresses(&self, addresses: Vec<Address>) {
        self.lock().addresses = addresses;
    }

    pub(super) fn set_reload(&self, outcome: String) {
        self.lock().reload = Some(outcome);
    }

    /// The line as things are.
    pub(super) fn now(&self, shared: &Shared) -> String {
        self.line(&shared.connection_limit, &shared.counters, shared.parts().fetched())
    }

    /// `fetched`: how many images of how many have been fetched into the image cache, while it goes on.
    fn line(&self, connection_limit: &ConnectionLimit, counters: &Counters, fetched: Option<(u64, u64)>) -> String {
        let details = self.lock();
        let mut line = format!("version {}", env!("CARGO_PKG_VERSION"));
        for (index, address) in details.addresses.iter().enumerate() {
            let _ = write!(line, "{} {address}", if index == 0 { ", listening on" } else { "," });
        }
        let (open, in_flight) = (connection_limit.open(), counters.in_flight());
        let _ = write!(
            line,
            "; {open} open connection{}, {in_flight} request{} in flight",
            plural(open),
            plural(in_flight)
        );
        match self.tasks.counts() {
            (0, 0) => {}
            (running, 0) => drop(write!(line, "; {running} task{} running", plural(running))),
            (running, waiting) => drop(write!(line, "; {running} task{} running, {waiting} waiting", plural(running))),
        }
        if let Some((fetched, queued)) = fetched {
            let _ = write!(line, "; {fetched} of {queued} images fetched into the cache");
        }
        if let Some(jobs) = self.jobs.line() {
            let _ = write!(line, "; {jobs}");
        }
        if let Some(reload) = &details.reload {
            let _ = write!(line, "; {reload}");
        }
        line
    }

    /// Waits until there is something else to say about the jobs.
    pub(super) async fn jobs_changed(&self) {
        self.jobs.changed().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    #[test]
    fn the_line_tells_what_is_going_on() {
        let (board, pool) = (Arc::new(Board::default()), Pool::new(TaskTracker::new()));
        let (status, connection_limit, counters) =
            (Status::new(Arc::clone(&board), Arc::clone(&pool)), ConnectionLimit::new(9), Counters::default());
        let _permit = connection_limit.enter();
        status.set_addresses(vec![Address::Tcp("127.0.0.1:9292".parse().unwrap())]);
        status.set_reload("configuration reloaded".to_owned());
        let line = status.line(&connection_limit, &counters, None);
        let expected = "listening on 127.0.0.1:9292; 1 open connection, 0 requests in flight; configuration reloaded";
        assert!(line.ends_with(expected), "{line}");
        board.failed("recovery", 2, "no database");
        let line = status.line(&connection_limit, &counters, Some((3, 10)));
        let expected = "0 requests in flight; 3 of 10 images fetched into the cache; recovery failed 2 times (no database); \
                        configuration reloaded";
        assert!(line.ends_with(expected), "{line}");
    }
}
