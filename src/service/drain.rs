//! The end of a worker: requests in flight finish, within limits.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::manager::Manager;
use super::shared::Shared;
use super::status::plural;

/// How often progress is looked at and told.
const TICK: Duration = Duration::from_secs(1);

/// How much longer than now the service manager is asked to wait each time that bytes have moved.
const EXTENSION: Duration = Duration::from_secs(15);

/// How long what was cut off may take to leave things as they were before.
const CLEANUP: Duration = Duration::from_secs(2);

/// How long it may take, on a busy machine, from the last byte or the limit to the end of the process.
const AFTERWARDS: Duration = Duration::from_secs(8);

/// Waits until all connections have ended, and with them the work that outlives its client: an upload puts its image back
/// though nobody waits for the answer. Returns how many of them the limit has cut off.
///
/// While bytes move, the service manager is asked for more time than its own limit for a stop, so that a long transfer may
/// use `grace` whole.
pub(super) async fn run(shared: &Shared, grace: Option<Duration>, manager: &Manager) -> usize {
    shared.drain.cancel();
    shared.pool.close();
    shared.connections.close();
    // It can be waited for then, and still takes work.
    shared.work.close();
    let ended = async {
        shared.connections.wait().await;
        shared.work.wait().await;
    };
    tokio::pin!(ended);
    let deadline = grace.map(|grace| Instant::now() + grace);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bytes = bytes_moved(shared);
    loop {
        tokio::select! {
            () = &mut ended => return 0,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return unfinished(shared);
            }
            _ = ticks.tick() => {
                let in_flight = unfinished(shared);
                let line = format!("stopping: waiting for {in_flight} request{} in flight", plural(in_flight));
                let now = bytes_moved(shared);
                if now == bytes {
                    manager.status(&line);
                } else {
                    bytes = now;
                    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                    manager.extend(extension(left), &line);
                }
            }
        }
    }
}

/// A number that changes while bytes move: to and from clients, and into the image cache for readers in other workers.
fn bytes_moved(shared: &Shared) -> u64 {
    shared.counters.bytes().wrapping_add(shared.parts().bytes_filling())
}

/// What to ask for when bytes have moved and `left` remains of the limit; `None`: there is none.
fn extension(left: Option<Duration>) -> Duration {
    left.unwrap_or(EXTENSION).min(EXTENSION) + AFTERWARDS
}

/// Requests whose response has not left whole, or whose work goes on without them.
pub(super) fn unfinished(shared: &Shared) -> usize {
    // A request that waits for its own work is one thing, not two.
    shared.counters.in_flight().max(shared.work.len())
}

/// Ends all connections while the runtime still turns: what their requests have half done is undone by tasks of its own,
/// which see that no more data comes.
pub(super) async fn abandon(shared: &Shared) {
    shared.abandon.cancel();
    shared.connections.close();
    shared.work.close();
    // Late ones end with the runtime, and the next start cleans up after them.
    let ended = async {
        shared.connections.wait().await;
        shared.work.wait().await;
    };
    let _ = timeout(CLEANUP, ended).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_waits_until_what_is_cut_off_has_been_cleaned_up() {
        for left in [0, 1, 14, 15].map(Duration::from_secs) {
            assert!(extension(Some(left)) > left + CLEANUP, "{left:?}");
        }
        assert_eq!(extension(Some(Duration::from_secs(600))), extension(None));
    }
}
