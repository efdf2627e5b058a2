//! A thread that receives what no request waits for.

use std::future::pending;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::context::TokioContext;

use crate::sys::priority::give_way;

/// What `top -H` shows.
const NAME: &str = "glance-net-bg";

/// Runs a future where it is, but connections that it makes belong to a runtime of their own, whose thread gives way to those of requests:
/// who waits for a thread of the requests' runtime waits for all that is before him there, be it pieces of a large download.
///
/// # Errors
/// There can be no such thread.
pub(super) async fn in_background<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(TokioContext::new(work, runtime()?).await)
}

/// Made when it is needed for the first time; ends with the process. One thread receives more than several digest.
fn runtime() -> io::Result<Handle> {
    static MADE: Mutex<Option<Handle>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*made {
        return Ok(handle.clone());
    }
    let (hand_over, taken) = sync_channel::<Runtime>(1);
    // The thread comes first: without one, the runtime could not be dropped here.
    thread::Builder::new().name(NAME.to_owned()).spawn(move || {
        give_way();
        if let Ok(runtime) = taken.recv() {
            runtime.block_on(pending::<()>());
        }
    })?;
    // It has more threads for names that are looked up.
    let runtime = Builder::new_current_thread().thread_name(NAME).on_thread_start(give_way).enable_all().build()?;
    let handle = runtime.handle().clone();
    hand_over.send(runtime).map_err(|_| io::ErrorKind::BrokenPipe)?;
    Ok(made.insert(handle).clone())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(started, (Some(NAME.to_owned()), (own.1 + NICER).min(19)));
    }
}
