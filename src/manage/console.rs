//! Standard output, which has what upstream's tool says, and standard error, which tells how far it is.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::db::migrations::Progress;

/// Cells of a bar.
const WIDTH: usize = 30;
/// Between two lines about rows where there is no terminal, and between two changes of what stands on one.
const PAUSE: Duration = Duration::from_secs(5);
const BLINK: Duration = Duration::from_millis(100);

/// A line for standard output. A reader that has gone is no reason to stop in the middle of a change.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Long work, told to standard error: a bar on a terminal, lines elsewhere.
pub(super) struct Meter {
    is_terminal: bool,
    state: Mutex<State>,
}

struct State {
    last: Instant,
    /// Something stands in the terminal's last line.
    is_drawn: bool,
}

impl Meter {
    pub(super) fn new() -> Self {
        let state = Mutex::new(State { last: Instant::now(), is_drawn: false });
        Self { is_terminal: std::io::stderr().is_terminal(), state }
    }

    /// A migration has come so far.
    pub(super) fn migration(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Waiting => self.line("another program changes the tables: waiting until it is done"),
            Progress::Revision { revision, number, of } => {
                if self.is_terminal {
                    self.draw(format_args!("{} {number}/{of} {}", bar(*number, *of), revision.name));
                } else {
                    let about = if revision.about.is_empty() { "" } else { ", " };
                    self.line(format_args!(
                        "Running upgrade {} -> {}{about}{}",
                        revision.follows, revision.name, revision.about
                    ));
                }
            }
            Progress::Rows(rows) => self.rows(format_args!("{rows} rows migrated")),
        }
    }

    /// So many rows are done, said from time to time.
    pub(super) fn rows(&self, text: impl Display) {
        let pause = if self.is_terminal { BLINK } else { PAUSE };
        {
            let mut state = self.state();
            if state.last.elapsed() < pause {
                return;
            }
            state.last = Instant::now();
        }
        if self.is_terminal { self.draw(text) } else { self.line(text) }
    }

    /// A line that stays.
    pub(super) fn line(&self, text: impl Display) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Takes away what is drawn.
    pub(super) fn clear(&self) {
        if std::mem::take(&mut self.state().is_drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&self, text: impl Display) {
        self.state().is_drawn = true;
        let mut error = std::io::stderr();
        let _ = write!(error, "\r\x1b[K{text}").and_then(|()| error.flush());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bar(done: usize, all: usize) -> String {
    let filled = (done * WIDTH).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(bar(0, 4), format!("[{}]", "-".repeat(30)));
        assert_eq!(bar(2, 4), format!("[{}{}]", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(4, 4), format!("[{}]", "#".repeat(30)));
        assert_eq!(bar(5, 0), format!("[{}]", "#".repeat(30)));
    }
}
