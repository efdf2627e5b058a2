//! The end of a worker: requests in flight finish, within limits.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::manager::Manager;
use super::status::plural;
use super::worker::Shared;

/// How often progress is looked at and told.
const TICK: Duration = Duration::from_secs(1);

/// How much longer than now the service manager is asked to wait each time that bytes have moved.
const EXTENSION: Duration = Duration::from_secs(15);

/// How long what was cut off may take to leave things as they were before.
const CLEANUP: Duration = Duration::from_millis(500);

/// Waits until all connections have ended, or the limit has passed; returns how many requests were cut off.
///
/// While bytes move, the service manager is asked for more time than its own limit for a stop, so that a long transfer may
/// use `grace` whole.
pub(super) async fn run(shared: &Shared, grace: Option<Duration>, manager: &Manager) -> usize {
    shared.drain.cancel();
    shared.connections.close();
    let deadline = grace.map(|grace| Instant::now() + grace);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bytes = shared.counters.bytes();
    loop {
        tokio::select! {
            () = shared.connections.wait() => return 0,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return shared.counters.in_flight();
            }
            _ = ticks.tick() => {
                let in_flight = shared.counters.in_flight();
                let line = format!("stopping: waiting for {in_flight} request{} in flight", plural(in_flight));
                let now = shared.counters.bytes();
                if now == bytes {
                    manager.status(&line);
                } else {
                    bytes = now;
                    let left = deadline.map_or(EXTENSION, |deadline| deadline.saturating_duration_since(Instant::now()));
                    manager.extend(EXTENSION.min(left + TICK), &line);
                }
            }
        }
    }
}

/// Ends all connections while the runtime still turns: what a request has half done is undone when its handler is dropped,
/// and that may take a task of its own.
pub(super) async fn abandon(shared: &Shared) {
    shared.abandon.cancel();
    // Late ones end with the runtime.
    let _ = timeout(CLEANUP, shared.connections.wait()).await;
    sleep(CLEANUP).await;
}
