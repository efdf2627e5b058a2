//! Takes connections from a listening socket and hands each to a task of its own.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::descriptors::{Spare, are_exhausted};
use super::listener::{Address, Listener, Stream};
use super::shared::Shared;

/// Pause after accept(2) failed for want of something that only time brings, such as memory.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the log says nothing about more of such failures.
const SILENCE: Duration = Duration::from_secs(60);

/// How long clients whose first packet has been answered have to become connections before the socket closes.
const HANDSHAKE: Duration = Duration::from_millis(20);

/// The loop around one listening socket.
pub(super) struct Acceptor {
    pub(super) listener: Arc<Listener>,
    stop: CancellationToken,
    pings: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Acceptor {
    /// Starts the loop.
    pub(super) fn start(listener: Listener, shared: Arc<Shared>) -> Self {
        let listener = Arc::new(listener);
        let stop = CancellationToken::new();
        let (pings, asked) = mpsc::channel(1);
        let task = tokio::spawn(accept(Arc::clone(&listener), shared, stop.clone(), asked));
        Self { listener, stop, pings, task }
    }

    pub(super) fn address(&self) -> &Address {
        &self.listener.address
    }

    /// A way to ask whether the loop turns.
    pub(super) fn pulse(&self) -> mpsc::Sender<oneshot::Sender<()>> {
        self.pings.clone()
    }

    /// Takes no more connections and closes the socket; those that the kernel has already completed on a socket that is
    /// ours alone are served.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        // A panic in the loop has been logged by the hook.
        let _ = (&mut self.task).await;
    }
}

/// The loop ends also where nobody waits for that any longer, as when a stop comes while a reload closes its old sockets.
impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut spare = Spare::new();
    let mut told: Option<Instant> = None;
    loop {
        spare.refill();
        tokio::select! {
            () = stop.cancelled() => break,
            Some(reply) = asked.recv() => {
                // The watchdog may have given up waiting.
                let _ = reply.send(());
            }
            accepted = next(&listener, &shared) => match accepted {
                Ok(stream) => spawn(&shared, &listener, stream),
                Err(error) if is_over(&error) => break,
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if told.is_none_or(|time| time.elapsed() > SILENCE) {
                        told = Some(Instant::now());
                        tracing::warn!(%error, address = %listener.address, "connections cannot be accepted");
                    }
                    if are_exhausted(&error) {
                        shared.connection_limit.evict();
                        if let Some(stream) = spare.accept(&listener) {
                            spawn(&shared, &listener, stream);
                            continue;
                        }
                        shared.connection_limit.changed().await;
                    } else {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
    if !listener.inherited {
        listener.refuse_new();
        for round in 0..2 {
            if round > 0 {
                tokio::time::sleep(HANDSHAKE).await;
            }
            while let Some(stream) = listener.accept_waiting() {
                spawn(&shared, &listener, stream);
            }
        }
    }
}

/// The backlog, not this process, holds those for whom there is no place.
async fn next(listener: &Listener, shared: &Shared) -> io::Result<Stream> {
    shared.connection_limit.wait_for_room().await;
    listener.accept().await
}

fn spawn(shared: &Arc<Shared>, listener: &Listener, stream: Stream) {
    let permit = shared.connection_limit.enter();
    let serving = connection::serve(Arc::clone(shared), stream, listener.address.clone(), permit);
    shared.connections.spawn(serving);
}

/// Somebody shut the listening socket down.
fn is_over(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EBADF))
}

/// accept(2) passes on errors of the connection that it was about to return.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPERM
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::super::listener::bind;
    use super::super::settings::{Listen, ListenAddress};
    use super::*;

    #[tokio::test]
    async fn a_loop_ends_though_closing_was_given_up() {
        let listen =
            Listen { address: ListenAddress::Tcp(String::new(), 0), backlog: 8, keepidle: Duration::from_secs(77) };
        let listener = Arc::new(bind(&Address::Tcp("127.0.0.1:0".parse().unwrap()), &[], &listen, false).unwrap());
        for closing in [false, true] {
            let (stop, end) = (CancellationToken::new(), CancellationToken::new());
            let acceptor = Acceptor {
                listener: Arc::clone(&listener),
                stop: stop.clone(),
                pings: mpsc::channel(1).0,
                task: tokio::spawn(end.cancelled_owned()),
            };
            if closing {
                let closed = tokio::time::timeout(Duration::from_millis(1), acceptor.close()).await;
                assert!(closed.is_err(), "the loop has not ended yet");
            } else {
                drop(acceptor);
            }
            assert!(stop.is_cancelled());
        }
    }
}
