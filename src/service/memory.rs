//! Gives back to the system what only a burst of requests, or an image's data on its way, has needed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::counters::Counters;
use crate::sys::heap;

/// Between two looks: bursts that follow one another closely need the memory again.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs for as long as the worker does.
pub(super) async fn run(counters: Arc<Counters>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if counters.work_is_over() {
            // It ends by itself; if it panicked there would be nothing to mend.
            let _ = spawn_blocking(heap::trim).await;
        }
    }
}
