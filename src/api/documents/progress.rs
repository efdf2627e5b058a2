//! Whether anybody still waits for a piece of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Shared by the work and whoever waits for it.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Progress(Arc<AtomicBool>);

impl Progress {
    /// Whether the work may as well end: its client is gone.
    pub(in crate::api) fn is_abandoned(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(super) fn abandon(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Abandons the work when it is dropped, which happens with the request's future.
pub(super) struct Waiter(pub(super) Progress);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
