//! The end of a worker: requests in flight and tasks that run finish, within limits.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::manager::Manager;
use super::shared::Shared;
use super::status::plural;

/// How often progress is looked at and told.
const TICK: Duration = Duration::from_secs(1);

/// How much longer than now the service manager is asked to wait each time that something has gone on.
const EXTENSION: Duration = Duration::from_secs(15);

/// How long what was cut off may take to leave things as they were before.
const CLEANUP: Duration = Duration::from_secs(2);

/// How long it may take, on a busy machine, from the last byte or the limit to the end of the process.
const AFTERWARDS: Duration = Duration::from_secs(8);

/// What has not ended yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// Those whose response has not left whole, or whose work goes on without them.
    pub(super) requests: usize,
    /// Those that run; what waits for its turn is told that there will be none.
    pub(super) tasks: usize,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, tasks } = *self;
        if requests > 0 || tasks == 0 {
            write!(f, "{requests} request{} in flight", plural(requests))?;
        }
        match (requests, tasks) {
            (_, 0) => Ok(()),
            (0, _) => write!(f, "{tasks} task{}", plural(tasks)),
            _ => write!(f, " and {tasks} task{}", plural(tasks)),
        }
    }
}

/// Waits until all connections have ended, and with them the work that outlives its client: an upload puts its image back
/// though nobody waits for the answer, and tasks have none who does. Returns what of them the limit has cut off.
///
/// While something goes on, the service manager is asked for more time than its own limit for a stop, so that a long
/// transfer or import may use `grace` whole. What hangs gets no more.
pub(super) async fn run(shared: &Shared, grace: Option<Duration>, manager: &Manager) -> Unfinished {
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
    let mut seen = headway(shared);
    loop {
        tokio::select! {
            () = &mut ended => return Unfinished::default(),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return unfinished(shared);
            }
            _ = ticks.tick() => {
                let line = format!("stopping: waiting for {}", unfinished(shared));
                let now = headway(shared);
                if now == seen {
                    manager.status(&line);
                } else {
                    seen = now;
                    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                    manager.extend(extension(left), &line);
                }
            }
        }
    }
}

/// A number that changes while something goes on: bytes to and from clients, and into the image cache for readers in
/// other workers; the work of tasks.
fn headway(shared: &Shared) -> u64 {
    shared.counters.bytes().wrapping_add(shared.parts().bytes_filling()).wrapping_add(shared.pool.work_done())
}

/// What to ask for when something has gone on and `left` remains of the limit; `None`: there is none.
fn extension(left: Option<Duration>) -> Duration {
    left.unwrap_or(EXTENSION).min(EXTENSION) + AFTERWARDS
}

pub(super) fn unfinished(shared: &Shared) -> Unfinished {
    let (tasks, _) = shared.pool.counts();
    // Tasks are work, too. A request that waits for its own work is one thing, not two.
    let requests = shared.counters.in_flight().max(shared.work.len().saturating_sub(tasks));
    Unfinished { requests, tasks }
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
    fn what_is_waited_for_is_told() {
        for (requests, tasks, wanted) in [
            (0, 0, "0 requests in flight"),
            (1, 0, "1 request in flight"),
            (0, 1, "1 task"),
            (0, 2, "2 tasks"),
            (2, 1, "2 requests in flight and 1 task"),
        ] {
            assert_eq!(Unfinished { requests, tasks }.to_string(), wanted);
        }
    }

    #[test]
    fn the_manager_waits_until_what_is_cut_off_has_been_cleaned_up() {
        for left in [0, 1, 14, 15].map(Duration::from_secs) {
            assert!(extension(Some(left)) > left + CLEANUP, "{left:?}");
        }
        assert_eq!(extension(Some(Duration::from_secs(600))), extension(None));
    }
}
