//! Work that the worker does by itself, besides requests.
//!
//! A job is a struct that implements [`Job`]; [`start`] gives it to the [`Supervisor`], which runs it when it is due, keeps its
//! errors and panics from others, tries again with growing pauses, and ends it with the worker.

mod board;
mod caching;
mod job;
mod pace;
mod recovery;
mod supervisor;
mod sweeping;
mod tasks;
mod trimming;

use std::sync::Arc;

use super::shared::Shared;

pub(super) use board::Board;
pub(super) use recovery::recover_before_serving;
pub(super) use supervisor::Supervisor;

/// Starts all jobs of a worker.
pub(super) fn start(shared: &Arc<Shared>, board: Arc<Board>) -> Supervisor<super::parts::Parts> {
    let current = Arc::clone(shared);
    let supervisor = Supervisor::new(move || current.parts(), board);
    supervisor.start(recovery::Recovery);
    supervisor.start(sweeping::Sweeping).request();
    supervisor.start(caching::Caching).request();
    supervisor.start(caching::Prefetching);
    supervisor.start(caching::Totals);
    supervisor.start(tasks::Leases);
    supervisor.start(tasks::Reclaiming);
    supervisor.start(tasks::Expiry);
    supervisor.start(trimming::Trimming::new(Arc::clone(&shared.counters)));
    supervisor
}
