//! Whether the work of tasks goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows while work goes on, and stands still while it hangs. All who have a copy add to the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Headway(Arc<AtomicU64>);

impl Headway {
    /// `steps`: bytes of data or milliseconds of a processor; what counts is that there are any.
    pub(super) fn made(&self, steps: u64) {
        self.0.fetch_add(steps, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
