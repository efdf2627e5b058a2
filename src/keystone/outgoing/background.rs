//! Threads that receive what no request waits for.

use std::io;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::context::TokioContext;

use crate::sys::priority::give_way;

/// Runs a future where it is, but connections that it makes belong to a runtime of their own, whose threads give way to those of requests:
/// to receive data takes as much time as to digest it, and who waits for a thread of the requests' runtime waits for all that is before
/// him there.
///
/// # Errors
/// There can be no such threads.
pub(super) async fn in_background<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(TokioContext::new(work, runtime()?).await)
}

/// Made when it is needed for the first time; ends with the process.
fn runtime() -> io::Result<Handle> {
    static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);
    let mut made = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = match made.take() {
        Some(runtime) => runtime,
        None => Builder::new_multi_thread()
            .worker_threads(available_parallelism().map_or(1, NonZero::get))
            .thread_name("glance-net-bg")
            .on_thread_start(give_way)
            .enable_all()
            .build()?,
    };
    Ok(made.insert(runtime).handle().clone())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::*;
    use crate::sys::priority::NICER;

    #[tokio::test]
    async fn what_a_connection_would_start_gives_way_and_its_user_does_not() {
        let who = || (thread::current().name().map(str::to_owned), getpriority_process(None).unwrap());
        let own = who();
        let work = async { (who(), tokio::spawn(async move { who() }).await.unwrap()) };
        let (user, started) = in_background(work).await.unwrap();
        assert_eq!(user, own);
        assert_eq!(started, (Some("glance-net-bg".to_owned()), (own.1 + NICER).min(19)));
    }
}
