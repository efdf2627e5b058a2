//! Threads for work on image data that no request waits for, and that no store has threads of its own for.

use std::sync::{Arc, OnceLock};

use super::pool::Pool;

/// Nobody needs so many: tasks are bounded by `[wsgi] task_pool_threads`, and each has one or two. But a hung mount keeps its threads.
const MOST: usize = 512;

/// Runs what blocks on a thread that gives way to those of requests. When the returned future is dropped, the function still runs.
/// `None` when it panicked or no thread could be had.
pub(crate) async fn run_in_background<T: Send + 'static>(function: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    threads().run(function).await.ok()
}

pub(super) fn threads() -> &'static Arc<Pool> {
    static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
    POOL.get_or_init(|| Pool::in_background("glance-bg", MOST))
}
