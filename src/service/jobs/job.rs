//! What a job says about itself.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pace::LONGEST_RETRY;

/// Why a run of a job came to nothing.
pub(in crate::service) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A job. `P`: the parts that it works with.
pub(in crate::service) trait Job<P>: Send + Sync + 'static {
    /// For the log and the status line.
    const NAME: &'static str;

    /// The pause after a failed run grows to this, or to the period where that is longer.
    const LONGEST_RETRY: Duration = LONGEST_RETRY;

    /// Whether it goes on while the worker only finishes what is in flight.
    const RUNS_WHILE_DRAINING: bool = false;

    /// When it runs, by the configuration in force; asked anew before each run and after each reload.
    fn schedule(&self, parts: &P) -> Schedule;

    /// Waits for what makes it run besides its period: by default nothing does. It is dropped when something else makes the job run,
    /// and begun anew behind that run, so what has happened meanwhile must still be there.
    fn wanted(&self, _parts: Arc<P>) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// One run, with the parts in force when it begins. It should end soon after `stop` is cancelled. It is dropped when it
    /// takes longer than its schedule allows, or when the end of the worker has waited for it long enough, so it must be
    /// safe to begin anew at any point.
    ///
    /// # Errors
    /// The run came to nothing; it is tried again.
    fn run(&self, parts: Arc<P>, stop: CancellationToken) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// When a job runs, and for how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct Schedule {
    /// From the end of a run to the begin of the next; `None`: only when something triggers it, or it is [wanted](Job::wanted).
    pub(in crate::service) period: Option<Duration>,
    /// Whether it also runs when another configuration has come into force.
    pub(in crate::service) after_reload: bool,
    /// How long one run may take.
    pub(in crate::service) limit: Duration,
}
