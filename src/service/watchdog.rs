//! Tells the service manager that the worker works, as long as it does.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::manager::Manager;

/// Ways to ask the accept loops for a sign of life.
pub(super) type Pulses = Vec<mpsc::Sender<oneshot::Sender<()>>>;

/// Runs for as long as the worker does, also while it reloads or drains. `limit`: the service manager's.
///
/// It runs as a task among the others, so it proves that the runtime turns, and that every accept loop does. It does not
/// ask databases or stores: to restart the worker would not mend them.
pub(super) async fn run(manager: Manager, limit: Duration, pulses: watch::Receiver<Pulses>) {
    let mut ticks = interval(limit / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let loops = pulses.borrow().clone();
        if all_answer(&loops, limit / 3).await {
            manager.alive();
        } else {
            tracing::error!("an accept loop does not answer, the service manager is not told that all is well");
        }
    }
}

/// A loop that is gone was ended on purpose.
async fn all_answer(loops: &Pulses, limit: Duration) -> bool {
    let asked = async {
        for pulse in loops {
            let (reply, answered) = oneshot::channel();
            if pulse.send(reply).await.is_ok() {
                // Dropped unanswered: the loop ended meanwhile.
                let _ = answered.await;
            }
        }
    };
    timeout(limit, asked).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stuck_loop_is_noticed_and_an_ended_one_is_not_missed() {
        let (gone, _) = mpsc::channel(1);
        let (living, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
        tokio::spawn(async move {
            while let Some(reply) = asked.recv().await {
                reply.send(()).unwrap();
            }
        });
        assert!(all_answer(&vec![gone.clone(), living.clone()], Duration::from_secs(10)).await);
        let (stuck, _never_read) = mpsc::channel(1);
        assert!(!all_answer(&vec![gone, living, stuck], Duration::from_millis(100)).await);
    }
}
