//! Signs of life of the accept loops.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Ways to ask the accept loops for a sign of life.
pub(super) type Pulses = Vec<mpsc::Sender<oneshot::Sender<()>>>;

/// Whether all loops answer in time. A loop that is gone was ended on purpose.
pub(super) async fn all_answer(loops: &Pulses, limit: Duration) -> bool {
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
