//! A thread for the data that no request waits for: it is received, and passed on to stores and digests, by a runtime of its own.

use std::future::pending;
use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::context::TokioContext;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::priority::give_way;

/// What `top -H` shows.
const NAME: &str = "glance-data-bg";

/// Runs a future where it is, but connections that it makes belong to a runtime of their own, whose thread gives way to those of requests:
/// who waits for a thread of the requests' runtime waits for all that is before him there, be it pieces of a large download.
///
/// # Errors
/// There can be no such thread.
pub(crate) async fn connected_in_background<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(TokioContext::new(work, runtime()?).await)
}

/// Runs a future on the thread of the background, so that each piece of data that comes wakes up no thread of the requests' runtime. When
/// the returned future is dropped, the work is dropped soon after, on that thread; a panic of the work is one of whoever waits for it.
/// What blocks belongs elsewhere: see `store/background.rs`.
///
/// # Errors
/// There can be no such thread.
pub(crate) async fn poll_in_background<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let running = AbortOnDropHandle::new(runtime()?.spawn(work.in_current_span()));
    running.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // The runtime has ended, and with it the process.
        Err(ended) => io::Error::other(ended),
    })
}

/// Makes sure that the thread is there: from now on, the functions above do not fail.
///
/// # Errors
/// There can be no such thread.
pub(crate) fn ready() -> io::Result<()> {
    runtime().map(drop)
}

/// Made when it is needed for the first time; ends with the process. One thread passes on more than several digest.
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
    use std::time::Duration;

    use rustix::process::getpriority_process;

    use super::*;
    use crate::sys::priority::NICER;

    #[tokio::test]
    async fn what_a_connection_would_start_gives_way_and_its_user_does_not() {
        let who = || (thread::current().name().map(str::to_owned), getpriority_process(None).unwrap());
        let own = who();
        let work = async { (who(), tokio::spawn(async move { who() }).await.unwrap()) };
        let (user, started) = connected_in_background(work).await.unwrap();
        assert_eq!(user, own);
        assert_eq!(started, (Some(NAME.to_owned()), (own.1 + NICER).min(19)));
    }

    #[tokio::test]
    async fn what_is_polled_there_is_given_back_or_dropped_there() {
        let name = || thread::current().name().map(str::to_owned);
        ready().unwrap();
        assert_eq!(poll_in_background(async move { name() }).await.unwrap().as_deref(), Some(NAME));

        struct Told(Option<tokio::sync::oneshot::Sender<Option<String>>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(thread::current().name().map(str::to_owned));
            }
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let dropped = Told(Some(tell));
        let work = poll_in_background(async move {
            let _dropped = dropped;
            pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_millis(10), work).await.is_err());
        assert_eq!(told.await.unwrap().as_deref(), Some(NAME));
    }

    #[tokio::test]
    #[should_panic(expected = "of the work")]
    async fn its_panic_is_that_of_who_waits() {
        let _ = poll_in_background(async { panic!("of the work") }).await;
    }
}
