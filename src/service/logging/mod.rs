//! The log: events become records, a thread writes them where the configuration says.
//!
//! A record is made where the event happens and put into a bounded queue, so that no task ever waits for a disk, a terminal
//! or the journal; what does not fit is counted and reported. Options have oslo.log's names and meaning.

mod capture;
mod date;
mod error;
mod filter;
mod journal;
mod json;
mod levels;
mod limit;
mod record;
mod sink;
mod syslog;
mod template;
mod text;
mod writer;

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

use super::environment::Environment;
use crate::config::DefaultSection;
use capture::Capture;
pub use error::LogError;
use levels::Levels;
use record::BEGAN;
use sink::Sinks;
use writer::Writer;

/// Whether there can be a log as it is asked for. Changes nothing.
///
/// # Errors
/// Options that cannot be met.
pub(super) fn check(options: &DefaultSection) -> Result<(), LogError> {
    Levels::new(options)?;
    Sinks::check_options(options)
}

/// The running log; writes what is queued when dropped.
pub(super) struct Logging {
    control: Arc<Control>,
    writer: Writer,
}

/// Changes the log while it runs.
pub(super) struct Control {
    levels: Arc<ArcSwap<Levels>>,
    queue: writer::Queue,
}

/// Levels and places that can be put in force.
pub(super) struct Prepared {
    levels: Levels,
    sinks: Sinks,
}

impl Logging {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// Options that cannot be met.
    pub(super) fn start(options: &DefaultSection, environment: &Environment) -> Result<Self, LogError> {
        LazyLock::force(&BEGAN);
        let levels = Arc::new(ArcSwap::from_pointee(Levels::new(options)?));
        let sinks = Sinks::open(options, environment, &levels)?;
        let (writer, queue) = Writer::start(sinks).map_err(LogError::Thread)?;
        let subscriber = Registry::default().with(Capture::new(Arc::clone(&levels), queue.clone()));
        tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
        Ok(Self { control: Arc::new(Control { levels, queue }), writer })
    }

    pub(super) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Whether somebody at the terminal sees the log.
    pub(super) fn reaches_standard_error(&self) -> bool {
        self.writer.reaches_standard_error()
    }
}

impl Control {
    /// Opens what the options ask for.
    ///
    /// # Errors
    /// Options that cannot be met; the log goes on as it was.
    pub(super) fn prepare(&self, options: &DefaultSection, environment: &Environment) -> Result<Prepared, LogError> {
        let sinks = Sinks::open(options, environment, &self.levels)?;
        Ok(Prepared { levels: Levels::new(options)?, sinks })
    }

    /// Uses it for all events from now on. Files are opened anew even if their names are the same.
    pub(super) fn apply(&self, prepared: Prepared) {
        self.queue.replace(prepared.sinks);
        self.levels.store(Arc::new(prepared.levels));
        tracing::callsite::rebuild_interest_cache();
    }
}
