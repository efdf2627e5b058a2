//! Word to a thread that blocks that nobody waits for it any more, or wants what it makes, and from it that it goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::outcome::PluginError;
use crate::store::FileIdentity;
use crate::task::headway::Headway;
use crate::task::import::progress::Progress;

/// Shared by who works and who may stop waiting.
#[derive(Clone, Debug, Default)]
pub(in crate::task) struct Interrupt {
    is_given: Arc<AtomicBool>,
    /// Cancelled when nobody wants the data any more.
    unwanted: CancellationToken,
    headway: Headway,
}

impl Interrupt {
    /// `progress`: where the thread says that it goes on, and is told that the data is given up.
    pub(super) fn of(progress: &Progress) -> Self {
        let (unwanted, headway) = (progress.unwanted().clone(), progress.headway().clone());
        Self { is_given: Arc::default(), unwanted, headway }
    }

    /// The thread has done something: so many bytes, or milliseconds.
    pub(in crate::task) fn went_on(&self, steps: u64) {
        self.headway.made(steps);
    }

    /// To be asked every moment.
    ///
    /// # Errors
    /// [`PluginError::Unwanted`], [`PluginError::Interrupted`]
    pub(in crate::task) fn check(&self) -> Result<(), PluginError> {
        if self.unwanted.is_cancelled() {
            return Err(PluginError::Unwanted);
        }
        if self.is_given.load(Ordering::Relaxed) { Err(PluginError::Interrupted) } else { Ok(()) }
    }

    /// One after which nobody waits any more.
    #[cfg(test)]
    pub(in crate::task) fn given() -> Self {
        Self { is_given: Arc::new(AtomicBool::new(true)), ..Self::default() }
    }
}

/// The staged file on which a plugin works.
pub(super) struct Original<'a> {
    path: &'a Path,
    identity: FileIdentity,
}

impl<'a> Original<'a> {
    /// # Errors
    /// There is no such file.
    pub(super) fn at(path: &'a Path) -> Result<Self, PluginError> {
        let identity = FileIdentity::of(path).map_err(PluginError::io("looking at the staged data"))?;
        Ok(Self { path, identity })
    }

    /// Right before something else takes the place of the file: its name may be that of somebody else's data by now.
    ///
    /// # Errors
    /// As [`Interrupt::check`]; [`PluginError::Interrupted`] also if the file is another one.
    pub(super) fn check(&self, interrupt: &Interrupt) -> Result<(), PluginError> {
        interrupt.check()?;
        if FileIdentity::of(self.path).is_ok_and(|identity| identity == self.identity) {
            Ok(())
        } else {
            Err(PluginError::Interrupted)
        }
    }
}

/// Interrupts when it is dropped.
pub(super) struct InterruptOnDrop(pub(super) Interrupt);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.is_given.store(true, Ordering::Relaxed);
    }
}
