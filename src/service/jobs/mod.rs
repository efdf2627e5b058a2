//! Work that the worker does by itself, besides requests.
//!
//! A job is a struct that implements [`Job`]; [`start`] gives it to the [`Supervisor`], which runs it when it is due, keeps its
//! errors and panics from others, tries again with growing pauses, and ends it with the worker.

mod board;
mod caching;
mod job;
mod pace;
mod recovery;
mod status_line;
mod supervisor;
mod sweeping;
mod tasks;
mod trimming;
mod watchdog;

use std::sync::Arc;

use tokio::sync::watch;

use super::manager::Manager;
use super::pulses::Pulses;
use super::shared::Shared;
use super::status::Status;

pub(super) use board::Board;
pub(super) use recovery::recover_before_serving;
pub(super) use supervisor::Supervisor;

/// What is told to the service manager from time to time.
pub(super) struct Reports {
    pub(super) manager: Manager,
    pub(super) status: Arc<Status>,
    pub(super) pulses: watch::Receiver<Pulses>,
}

/// Starts all jobs of a worker.
pub(super) fn start(shared: &Arc<Shared>, board: Arc<Board>, reports: Reports) -> Supervisor<super::parts::Parts> {
    let Reports { manager, status, pulses } = reports;
    let current = Arc::clone(shared);
    let supervisor = Supervisor::new(move || current.parts(), board);
    if let Some(limit) = sd_notify::watchdog_enabled() {
        supervisor.start(watchdog::Watchdog::new(manager.clone(), limit, pulses)).request();
    }
    if manager.is_present() {
        supervisor.start(status_line::StatusLine::new(Arc::clone(shared), status, manager));
    }
    supervisor.start(recovery::Recovery);
    supervisor.start(sweeping::Sweeping).request();
    supervisor.start(caching::Caching).request();
    supervisor.start(caching::Prefetching);
    supervisor.start(caching::Totals);
    supervisor.start(tasks::Leases);
    supervisor.start(tasks::Reclaiming);
    supervisor.start(tasks::Expiry);
    supervisor.start(trimming::Trimming::new(Arc::clone(&shared.counters)));
    supervisor.start(trimming::Connections);
    supervisor
}
