//! One connection, from the accepted socket to its end.

pub(super) mod activity;
mod answer;
mod head;
mod sendfile;
mod wire;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nix::sys::socket::{MsgFlags, recv};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::body::Lane;
use super::gate::Permit;
use super::listener::{Address, Stream};
use super::shared::Shared;
use crate::http;
use answer::Answerer;
use wire::{Io, Wire};

use activity::{Activity, Verdict};

/// How long a stop waits for the first request of a connection that was accepted just before, and for one whose bytes
/// already wait in the socket: the client has been promised an answer by the kernel.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// How long a connection that is told to close may take for it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Most requests that an HTTP/2 client may have in flight on one connection.
const STREAMS: u32 = 100;

/// Serves a connection until either side ends it. `permit` is held as long.
pub(super) async fn serve(shared: Arc<Shared>, stream: Stream, local: Address, permit: Permit) {
    let activity = Activity::new(Arc::clone(&shared.counters));
    permit.register(&activity);
    shared.counters.connection_changed();
    let peer = match &stream {
        Stream::Tcp(_, peer) => peer.to_string(),
        Stream::Unix(_) => "unix".to_owned(),
    };
    let ended = tokio::select! {
        ended = Box::pin(run(&shared, stream, local, &activity)) => ended,
        () = shared.abandon.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        // hyper has answered it by itself, so there is no line in the access log.
        if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
            tracing::info!(error = &*error, %peer, "request refused: it is not HTTP");
        } else {
            tracing::debug!(error = &*error, "connection ended with an error");
        }
    }
    drop(permit);
    shared.counters.connection_changed();
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn run(shared: &Arc<Shared>, stream: Stream, local: Address, activity: &Arc<Activity>) -> Result<(), BoxError> {
    let active = shared.active.load_full();
    let limits = active.limits;
    let mut ends = http::Connection::default();
    if let Address::Tcp(address) = local {
        ends.local = Some(address);
    }
    let (io, descriptor) = match stream {
        Stream::Unix(stream) => {
            let descriptor = stream.as_raw_fd();
            (Io::Unix(stream), descriptor)
        }
        Stream::Tcp(stream, peer) => {
            let descriptor = stream.as_raw_fd();
            ends.peer = Some(peer);
            // The socket may listen on every address.
            ends.local = stream.local_addr().ok().or(ends.local);
            match &active.tls {
                None => (Io::Tcp(stream), descriptor),
                Some(tls) => {
                    ends.tls = true;
                    let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
                    let handshake = tokio::select! {
                        done = timeout(limits.handshake, handshake) => done,
                        () = activity.asked_to_leave() => return Ok(()),
                    };
                    let stream = handshake.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                    (Io::Tls(Box::new(stream)), descriptor)
                }
            }
        }
    };

    let lane = io.can_send_files().then(Lane::default);
    let wire = Wire::new(io, Arc::clone(activity), lane.clone(), limits.max_header_line);
    let answerer = Arc::new(Answerer { shared: Arc::clone(shared), activity: Arc::clone(activity), ends, lane });
    let service = service_fn(move |request| {
        let answerer = Arc::clone(&answerer);
        async move { Ok::<_, Infallible>(answerer.answer(request).await) }
    });

    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .keep_alive(limits.keepalive)
        .half_close(false)
        .max_buf_size(limits.buffer())
        // Queues body chunks as they are: sendfile and the byte counts depend on it.
        .writev(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.buffer()).unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));

    let mut due = limits.idle.map(|limit| Instant::now() + limit);
    let mut drain = Drain::Not;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shared.drain.cancelled(), if drain == Drain::Not => {
                if activity.is_idle() && (activity.requests() == 0 || bytes_wait(descriptor)) {
                    drain = Drain::AfterRequest;
                    due = Some(Instant::now() + FIRST_REQUEST);
                } else {
                    drain = Drain::Begun;
                    connection.as_mut().graceful_shutdown();
                    due = limits.idle.map(|limit| Instant::now() + limit);
                }
            }
            () = activity.request_began(), if drain == Drain::AfterRequest => {
                drain = Drain::Begun;
                connection.as_mut().graceful_shutdown();
                due = limits.idle.map(|limit| Instant::now() + limit);
            }
            () = activity.asked_to_leave() => {
                if activity.is_idle() {
                    connection.as_mut().graceful_shutdown();
                    due = Some(Instant::now() + FAREWELL);
                } else {
                    activity.stays();
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                match limits.idle.map_or(Verdict::Idle, |limit| activity.verdict(limit)) {
                    // Asked to go and not gone, or silent: nothing is in flight that could be lost.
                    _ if activity.is_idle() && (drain != Drain::Not || activity.is_leaving()) => return Ok(()),
                    Verdict::Fine(next) => due = Some(next),
                    Verdict::Idle if activity.is_idle() => {
                        activity.ask_to_leave();
                        due = Some(Instant::now() + FAREWELL);
                    }
                    Verdict::Idle => due = None,
                    Verdict::Stuck => return Err("the client does not take the response".into()),
                }
            }
        }
    }
}

/// What has been done about the end of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    Not,
    /// The client's first or next request is on its way.
    AfterRequest,
    /// hyper knows: the request in flight is the last.
    Begun,
}

/// Whether bytes of the client wait in the socket. The descriptor is open as long as the connection is polled.
fn bytes_wait(descriptor: RawFd) -> bool {
    let mut byte = [0];
    matches!(recv(descriptor, &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT), Ok(count) if count > 0)
}
