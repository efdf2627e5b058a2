//! Runs the jobs: each in a task of its own, one run at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::job::{Failure, Job};
use super::pace::{pause, spread};

/// How long runs are waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// A run that takes longer is worth a word in the status line.
    long: Duration,
    /// How long a run that is told to stop may take for it.
    stop: Duration,
}

const PATIENCE: Patience = Patience { long: Duration::from_secs(10), stop: Duration::from_secs(2) };

/// Owns the tasks of all jobs. `P`: the parts that jobs work with.
pub(in crate::service) struct Supervisor<P> {
    context: Arc<Context<P>>,
    tasks: TaskTracker,
    reloads: watch::Sender<()>,
}

/// What the tasks share.
struct Context<P> {
    /// The parts in force.
    current: Box<dyn Fn() -> Arc<P> + Send + Sync>,
    board: Arc<Board>,
    /// Cancelled when the worker only finishes what is in flight.
    drain: CancellationToken,
    /// Cancelled at the very end.
    stop: CancellationToken,
    patience: Patience,
}

/// Makes a job run soon. Any number of requests before a run begins are one; a request during a run is one more run. A job that
/// has failed waits out its pause all the same.
#[derive(Clone, Debug)]
pub(in crate::service) struct Trigger(Arc<Notify>);

impl Trigger {
    pub(in crate::service) fn request(&self) {
        self.0.notify_one();
    }
}

/// Why a run ended without a result of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    #[error("it ended in a panic, which the log has")]
    Panic,
    #[error("it took longer than {0:?}")]
    Limit(Duration),
}

impl<P: Send + Sync + 'static> Supervisor<P> {
    /// `current` gives the parts in force; a run keeps those with which it began.
    pub(in crate::service) fn new(current: impl Fn() -> Arc<P> + Send + Sync + 'static, board: Arc<Board>) -> Self {
        Self::with_patience(current, board, PATIENCE)
    }

    fn with_patience(
        current: impl Fn() -> Arc<P> + Send + Sync + 'static,
        board: Arc<Board>,
        patience: Patience,
    ) -> Self {
        let stop = CancellationToken::new();
        let context = Context { current: Box::new(current), board, drain: stop.child_token(), stop, patience };
        Self { context: Arc::new(context), tasks: TaskTracker::new(), reloads: watch::Sender::new(()) }
    }

    /// Takes on a job. Its first run is one period away, unless it is triggered or [wanted](Job::wanted).
    pub(in crate::service) fn start<J: Job<P>>(&self, job: J) -> Trigger {
        let trigger = Trigger(Arc::default());
        let task = supervise(job, Arc::clone(&self.context), trigger.clone(), self.reloads.subscribe());
        self.tasks.spawn(task);
        trigger
    }

    /// Other parts are in force: schedules are looked at again, and jobs that have failed, or want to, run at once.
    pub(in crate::service) fn reloaded(&self) {
        self.reloads.send_replace(());
    }

    /// Tells the jobs to stop that do not [run while draining](Job::RUNS_WHILE_DRAINING).
    pub(in crate::service) fn drain(&self) {
        self.context.drain.cancel();
    }

    /// Tells all jobs to stop, and waits for runs in progress as long as a run may take to stop.
    pub(in crate::service) async fn stop(&self) {
        self.context.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The life of one job.
async fn supervise<P, J: Job<P>>(job: J, context: Arc<Context<P>>, trigger: Trigger, mut reloads: watch::Receiver<()>) {
    let (mut failures, mut ended) = (0_u32, Instant::now());
    let stop = if J::RUNS_WHILE_DRAINING { &context.stop } else { &context.drain };
    loop {
        let schedule = job.schedule(&(context.current)());
        let due =
            pause(schedule.period, failures, J::LONGEST_RETRY).map(|pause| ended + spread(pause, fastrand::f64()));
        tokio::select! {
            () = stop.cancelled() => return,
            changed = reloads.changed() => match changed {
                Ok(()) if failures == 0 && !schedule.after_reload => continue,
                Ok(()) => {}
                // The supervisor is gone without a stop.
                Err(_) => return,
            },
            () = trigger.0.notified(), if failures == 0 => {}
            () = job.wanted((context.current)()), if failures == 0 => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        // The run that begins now serves the requests that have come so far.
        let _ = trigger.0.notified().now_or_never();
        let parts = (context.current)();
        let limit = job.schedule(&parts).limit;
        let Some(outcome) = run(&job, parts, limit, &context, stop).await else { return };
        ended = Instant::now();
        failures = match outcome {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(job = J::NAME, failures, "the job succeeds again");
                }
                context.board.succeeded(J::NAME);
                0
            }
            Err(error) => {
                let failures = failures.saturating_add(1);
                tracing::warn!(job = J::NAME, failures, %error, "the job failed; it is tried again");
                context.board.failed(J::NAME, failures, &error.to_string());
                failures
            }
        };
    }
}

/// One run; `None`: the worker ends.
async fn run<P, J: Job<P>>(
    job: &J,
    parts: Arc<P>,
    limit: Duration,
    context: &Context<P>,
    stop: &CancellationToken,
) -> Option<Result<(), Failure>> {
    let attempt = attempt(limit, job.run(parts, stop.clone()));
    let told = async {
        sleep(context.patience.long).await;
        context.board.takes_long(J::NAME);
        std::future::pending::<()>().await;
    };
    let stopped = async {
        stop.cancelled().await;
        sleep(context.patience.stop).await;
    };
    let outcome = tokio::select! {
        outcome = attempt => Some(outcome),
        () = told => None,
        () = stopped => {
            tracing::warn!(job = J::NAME, "the job does not stop in time, it is broken off");
            None
        }
    };
    outcome.filter(|_| !stop.is_cancelled())
}

/// Runs `work` within a limit of time, and turns a panic into an error.
pub(super) async fn attempt(limit: Duration, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Interrupted::Panic.into()),
        Err(_) => Err(Interrupted::Limit(limit).into()),
    }
}

#[cfg(test)]
mod tests;
