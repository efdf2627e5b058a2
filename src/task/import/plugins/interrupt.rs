//! Word to a thread that blocks that nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::outcome::PluginError;

/// Shared by who works and who may stop waiting.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// To be asked every moment.
    ///
    /// # Errors
    /// [`PluginError::Interrupted`]
    pub(super) fn check(&self) -> Result<(), PluginError> {
        if self.0.load(Ordering::Relaxed) { Err(PluginError::Interrupted) } else { Ok(()) }
    }
}

/// Interrupts when it is dropped.
pub(super) struct InterruptOnDrop(pub(super) Interrupt);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
