//! One connection, from the accepted socket to its end.

pub(super) mod activity;
mod answer;
mod framing;
mod head;
mod position;
mod progress;
mod sendfile;
mod streams;
mod wire;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nix::sys::socket::{MsgFlags, recv};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::body::Lane;
use super::connection_limit::Permit;
use super::listener::{Address, Stream};
use super::shared::Shared;
use crate::http;
use answer::Answerer;
use streams::Streams;
use wire::{Io, Wire};

use activity::{Activity, LINGER, Liveness};

/// How long a stop waits for the first request of a connection that was accepted just before, and for one whose bytes
/// already wait in the socket: the client has been promised an answer by the kernel.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// How long a connection without requests that is told to close may take for it: for as long as bytes are thrown away behind
/// its last answer, or as an HTTP/2 client takes to answer.
const CLOSE_TIMEOUT: Duration = LINGER.saturating_add(Duration::from_secs(1));

/// Why a connection ended.
const NOT_TAKEN: &str = "the client does not take the response";

/// Most requests that an HTTP/2 client may have in flight on one connection.
const STREAMS: u32 = 100;

/// Bytes that an HTTP/2 client may send ahead of whoever reads them, on one stream and on all of a connection. They wait in
/// memory. A stream that nobody reads for a while must leave room for others.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;

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
    let streams = Streams::new(activity, limits.idle);
    let called = streams.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let answerer = Arc::clone(&answerer);
        if request.version() == Version::HTTP_2 {
            answerer.activity.speaks_http2();
        }
        let flight = answerer.activity.begin();
        called.called(flight.progress());
        async move { Ok::<_, Infallible>(answerer.answer(request, flight).await) }
    });

    let mut builder = auto::Builder::new(streams);
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
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.buffer()).unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));

    let mut due = limits.idle.map(|limit| Instant::now() + limit);
    let mut end = End::Open;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shared.drain.cancelled(), if end == End::Open => {
                if activity.is_idle() && (activity.requests() == 0 || !activity.is_http2() && bytes_wait(descriptor)) {
                    end = End::AfterRequest(activity.requests());
                    due = Some(Instant::now() + FIRST_REQUEST);
                } else {
                    end = End::Begun;
                    connection.as_mut().graceful_shutdown();
                    due = Some(Instant::now() + CLOSE_TIMEOUT);
                }
            }
            // On HTTP/1 hyper itself closes behind the first answer.
            () = activity.request_began(), if end.waits_for_request(limits.keepalive) => {
                if end.is_reached(activity.requests(), limits.keepalive) {
                    end = End::Begun;
                    connection.as_mut().graceful_shutdown();
                    due = Some(Instant::now() + CLOSE_TIMEOUT);
                }
            }
            () = activity.request_abandoned(), if end == End::Open => {
                end = End::Begun;
                connection.as_mut().graceful_shutdown();
                due = Some(Instant::now() + CLOSE_TIMEOUT);
            }
            () = activity.asked_to_leave() => {
                if activity.is_idle() {
                    connection.as_mut().graceful_shutdown();
                    due = Some(Instant::now() + CLOSE_TIMEOUT);
                } else {
                    activity.stays();
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let ends = end != End::Open || activity.is_leaving();
                match activity.idle_for() {
                    // Asked to go and not gone, or silent: nothing is in flight that could be lost.
                    Some(idle) if ends && (matches!(end, End::AfterRequest(_)) || idle >= CLOSE_TIMEOUT) => return Ok(()),
                    None if activity.is_abandoned() => return Err(NOT_TAKEN.into()),
                    _ => {}
                }
                // On HTTP/2 each stream has a limit of its own, which comes first.
                let more = if activity.is_http2() { CLOSE_TIMEOUT } else { Duration::ZERO };
                due = match limits.idle.map(|limit| activity.liveness(limit + more)) {
                    Some(Liveness::Stuck) => return Err(NOT_TAKEN.into()),
                    Some(Liveness::Idle) if !ends => {
                        activity.ask_to_leave();
                        Some(Instant::now() + CLOSE_TIMEOUT)
                    }
                    Some(Liveness::Fine(next)) if !ends => Some(next),
                    None if !ends => None,
                    _ => Some(Instant::now() + CLOSE_TIMEOUT),
                };
            }
        }
    }
}

/// Whether the connection is about to end: the worker stops, it may have one request only, or a stream of it is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The client's first or next request is on its way; it has made this many.
    AfterRequest(u64),
    /// hyper knows: the requests in flight are the last. An HTTP/2 client is told (GOAWAY), and those that it began before
    /// it heard of it are served.
    Begun,
}

impl End {
    fn waits_for_request(self, keepalive: bool) -> bool {
        matches!(self, Self::AfterRequest(_)) || self == Self::Open && !keepalive
    }

    /// Whether the last request that the connection is open for has begun; `requests` is how many have.
    fn is_reached(self, requests: u64, keepalive: bool) -> bool {
        match self {
            Self::Open => !keepalive,
            Self::AfterRequest(before) => requests > before,
            Self::Begun => true,
        }
    }
}

/// Whether bytes of the client wait in the socket. The descriptor is open as long as the connection is polled.
fn bytes_wait(descriptor: RawFd) -> bool {
    let mut byte = [0];
    matches!(recv(descriptor, &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT), Ok(count) if count > 0)
}
