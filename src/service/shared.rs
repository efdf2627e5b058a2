//! What all tasks of a worker share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection_limit::ConnectionLimit;
use super::counters::Counters;
use super::parts::Parts;
use super::settings::Limits;
use super::tls::Tls;
use crate::config::Loaded;
use crate::task::Pool;

/// Made once for the life of the worker.
pub(super) struct Shared {
    /// Exchanged by a reload.
    pub(super) active: ArcSwap<Active>,
    pub(super) connection_limit: Arc<ConnectionLimit>,
    pub(super) counters: Arc<Counters>,
    /// Cancelled when the worker is to end.
    pub(super) drain: CancellationToken,
    /// Cancelled when the worker does not wait any longer.
    pub(super) abandon: CancellationToken,
    pub(super) connections: TaskTracker,
    /// Work of requests that must come to its end though its client has gone; of all configurations.
    pub(super) work: TaskTracker,
    /// Runs the tasks of all configurations.
    pub(super) pool: Arc<Pool>,
}

/// One configuration at work. A request keeps the one that it began with.
pub(super) struct Active {
    pub(super) parts: Arc<Parts>,
    pub(super) limits: Limits,
    pub(super) tls: Option<Tls>,
}

impl Shared {
    /// Tells what is odd about the configuration that is in force from now on.
    pub(super) fn warn_of(&self, loaded: &Loaded) {
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(shortage) = self.connection_limit.shortage() {
            tracing::warn!("{}", loaded.locate(&shortage));
        }
    }

    /// `work`, `pool`, `drain`: given to the parts as well.
    pub(super) fn new(
        active: Active,
        max_connections: usize,
        work: TaskTracker,
        pool: Arc<Pool>,
        drain: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            active: ArcSwap::from_pointee(active),
            connection_limit: ConnectionLimit::new(max_connections),
            counters: Arc::new(Counters::default()),
            drain,
            abandon: CancellationToken::new(),
            connections: TaskTracker::new(),
            work,
            pool,
        })
    }

    /// The parts in force. Hold them for one piece of work only: a reload exchanges them.
    pub(super) fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.active.load().parts)
    }
}
