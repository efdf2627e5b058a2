//! Tells the service manager that the worker works, as long as it does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::job::{Failure, Job, Schedule};
use crate::service::manager::Manager;
use crate::service::pulses::{Pulses, all_answer};

/// It is a task among the others, so it proves that the runtime turns, and that every accept loop does. It does not ask databases or
/// stores: to restart the worker would not mend them.
///
/// No other job delays it, as each is a task of its own, and its own failures do not make it ask less often. It goes on while
/// the worker reloads or drains.
pub(super) struct Watchdog {
    manager: Manager,
    /// Within what time the service manager wants to hear of the worker.
    limit: Duration,
    pulses: watch::Receiver<Pulses>,
}

#[derive(Debug, thiserror::Error)]
#[error("an accept loop does not answer, the service manager is not told that all is well")]
struct Silence;

impl Watchdog {
    pub(super) fn new(manager: Manager, limit: Duration, pulses: watch::Receiver<Pulses>) -> Self {
        Self { manager, limit, pulses }
    }

    fn pause(&self) -> Duration {
        self.limit / 3
    }

    /// How long a loop is waited for. It answers as soon as it turns again, and then there is still time to tell.
    fn patience(&self) -> Duration {
        self.limit / 2
    }
}

impl<P: Send + Sync + 'static> Job<P> for Watchdog {
    const NAME: &'static str = "watchdog";
    // Never longer than the period.
    const LONGEST_RETRY: Duration = Duration::ZERO;
    const RUNS_WHILE_DRAINING: bool = true;

    fn schedule(&self, _parts: &P) -> Schedule {
        Schedule { period: Some(self.pause()), after_reload: false, limit: self.limit }
    }

    async fn run(&self, _parts: Arc<P>, _stop: CancellationToken) -> Result<(), Failure> {
        let loops = self.pulses.borrow().clone();
        if !all_answer(&loops, self.patience()).await {
            return Err(Silence.into());
        }
        self.manager.alive();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::timeout;

    use super::super::pace::{pause, spread};
    use super::super::supervisor::Supervisor;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn watchdog(limit: Duration, loops: Pulses) -> Watchdog {
        let (_, pulses) = watch::channel(loops);
        Watchdog::new(Manager::start(false), limit, pulses)
    }

    #[test]
    fn the_service_manager_hears_in_time_of_a_loop_that_turns_again() {
        let watchdog = watchdog(LIMIT, Vec::new());
        let longest = <Watchdog as Job<()>>::LONGEST_RETRY;
        for failures in 0..20 {
            let pause = spread(pause(Some(watchdog.pause()), failures, longest).unwrap(), 1.0);
            assert!(pause + watchdog.patience() < LIMIT, "after {failures} failures: {pause:?}");
        }
    }

    /// Fails at once, and each time.
    struct Failing;

    impl Job<()> for Failing {
        const NAME: &'static str = "failing";

        fn schedule(&self, _parts: &()) -> Schedule {
            Schedule { period: Some(Duration::from_millis(1)), after_reload: false, limit: LIMIT }
        }

        async fn run(&self, _parts: Arc<()>, _stop: CancellationToken) -> Result<(), Failure> {
            panic!("of a test")
        }
    }

    #[tokio::test]
    async fn nothing_keeps_it_from_asking_before_the_very_end() {
        let (living, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
        let supervisor = Supervisor::new(|| Arc::new(()), Arc::default());
        supervisor.start(Failing);
        supervisor.start(watchdog(Duration::from_millis(30), vec![living])).request();
        let mut unanswered = Vec::new();
        for asks in 0..20 {
            if asks == 10 {
                supervisor.drain();
            }
            let reply = timeout(LIMIT, asked.recv()).await.unwrap().unwrap();
            if asks % 2 == 0 {
                reply.send(()).unwrap();
            } else {
                unanswered.push(reply);
            }
        }
        supervisor.stop().await;
    }
}
