//! File descriptors when they are scarce: how many connections they allow, and one that is kept for the moment when there
//! are no others.

use std::fs::{self, File};
use std::io;

use nix::sys::resource::{Resource, getrlimit};

use super::listener::{Listener, Stream};

/// Descriptors that are taken to be in use where /proc does not tell.
const USUAL: usize = 32;

/// How many connections this process has descriptors for (`RLIMIT_NOFILE`). What is in use now, and half of the rest, is
/// for files, the database and other services: each transfer needs a file beside its connection.
pub(super) fn most_connections() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let used = fs::read_dir("/proc/self/fd").map_or(USUAL, Iterator::count);
    share(usize::try_from(soft).unwrap_or(usize::MAX), used)
}

fn share(limit: usize, used: usize) -> usize {
    (limit.saturating_sub(used) / 2).max(1)
}

/// Whether a call failed because this process (`EMFILE`) or the system (`ENFILE`) has no descriptor left.
pub(super) fn are_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// A descriptor that is closed so that a connection can be accepted in its place.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Self {
        let mut spare = Self(None);
        spare.refill();
        spare
    }

    /// Takes a descriptor again if the last one was used; opening /dev/null never waits.
    pub(super) fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Accepts a connection that waits in the backlog, with the descriptor that was kept.
    pub(super) fn accept(&mut self, listener: &Listener) -> Option<Stream> {
        self.0.take()?;
        listener.accept_waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_free_is_for_connections() {
        for (limit, used, expected) in [(40, 16, 12), (1024, 24, 500), (10, 16, 1), (usize::MAX, 0, usize::MAX / 2)] {
            assert_eq!(share(limit, used), expected, "{limit} {used}");
        }
        assert!(most_connections() >= 1);
    }

    #[test]
    fn a_spare_descriptor_is_used_once() {
        let mut spare = Spare::new();
        assert!(spare.0.take().is_some());
        spare.refill();
        assert!(spare.0.is_some());
        for (code, expected) in [(libc::EMFILE, true), (libc::ENFILE, true), (libc::ENOMEM, false)] {
            assert_eq!(are_exhausted(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
