//! What the jobs are doing, for the status line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Longer texts of errors are cut: the log has them whole.
const LONGEST_ERROR: usize = 120;

/// The jobs of which there is something to say: those that fail, and those that take long.
#[derive(Debug, Default)]
pub(in crate::service) struct Board {
    jobs: Mutex<BTreeMap<&'static str, State>>,
    changed: Notify,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// A run has been going on for long.
    long: bool,
    /// How many of the last runs failed in a row, and why the last one did.
    failure: Option<(u32, String)>,
}

impl Board {
    /// The run that goes on takes long.
    pub(super) fn takes_long(&self, name: &'static str) {
        self.change(name, |state| state.long = true);
    }

    pub(super) fn succeeded(&self, name: &'static str) {
        self.change(name, |state| *state = State::default());
    }

    /// `failures`: in a row.
    pub(in crate::service) fn failed(&self, name: &'static str, failures: u32, error: &str) {
        let mut error = error.replace(['\n', '\r'], " ");
        if let Some((end, _)) = error.char_indices().nth(LONGEST_ERROR) {
            error.truncate(end);
            error.push('…');
        }
        self.change(name, |state| *state = State { long: false, failure: Some((failures, error)) });
    }

    /// Words for the status line; `None`: all is well.
    pub(in crate::service) fn line(&self) -> Option<String> {
        let mut line = String::new();
        for (name, State { long, failure }) in &*self.lock() {
            let separator = if line.is_empty() { "" } else { ", " };
            if let Some((failures, error)) = failure {
                let times = if *failures == 1 { String::new() } else { format!(" {failures} times") };
                let _ = write!(line, "{separator}{name} failed{times} ({error})");
            } else if *long {
                let _ = write!(line, "{separator}{name} is running");
            }
        }
        Some(line).filter(|line| !line.is_empty())
    }

    /// Waits until there is something else to say.
    pub(in crate::service) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut State)) {
        let mut jobs = self.lock();
        let state = jobs.entry(name).or_default();
        let before = state.clone();
        change(state);
        if *state != before {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_line_names_what_fails_and_what_takes_long() {
        let board = Board::default();
        assert_eq!(board.line(), None);
        board.succeeded("recovery");
        assert_eq!(board.line(), None);
        board.takes_long("sweeping");
        board.failed("recovery", 1, "the intent log\ncannot be read");
        board.changed().await;
        assert_eq!(board.line().unwrap(), "recovery failed (the intent log cannot be read), sweeping is running");
        board.failed("recovery", 2, &"é".repeat(500));
        board.succeeded("sweeping");
        assert_eq!(board.line().unwrap(), format!("recovery failed 2 times ({}…)", "é".repeat(LONGEST_ERROR)));
        board.succeeded("recovery");
        assert_eq!(board.line(), None);
    }
}
