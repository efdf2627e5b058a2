//! The body of a request as the application reads it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::service::connection::activity::{self, Activity, LINGER};

/// Bytes from the client, with a limit on how long none may come while somebody waits for them.
pub(in crate::service) struct RequestBody {
    /// `None` once dropped.
    incoming: Option<Incoming>,
    /// On HTTP/2: comes to its end with the answer to the request.
    answered: Option<oneshot::Receiver<Infallible>>,
    limit: Option<Duration>,
    /// Runs while the reader waits.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// `None` once it has been read to its end.
    unread: Option<activity::Body>,
    activity: Arc<Activity>,
}

impl RequestBody {
    /// `answered`: for a stream of HTTP/2, which ends at the moment that this body is dropped unless it is read on.
    pub(in crate::service) fn new(
        incoming: Incoming,
        limit: Option<Duration>,
        activity: Arc<Activity>,
        answered: Option<oneshot::Receiver<Infallible>>,
    ) -> Self {
        let unread = (!incoming.is_end_stream()).then(|| activity.body_begins(incoming.size_hint().exact()));
        Self { incoming: Some(incoming), answered, limit, timer: None, waiting: false, unread, activity }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let timer = match &mut self.timer {
            Some(timer) => {
                if !self.waiting {
                    timer.as_mut().reset(Instant::now() + limit);
                }
                timer
            }
            None => self.timer.insert(Box::pin(sleep_until(Instant::now() + limit))),
        };
        self.waiting = true;
        timer.as_mut().poll(context)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some(incoming) = this.incoming.as_mut().filter(|_| this.unread.is_some()) else { return Poll::Ready(None) };
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(context) else { break };
            // Of empty frames a client may send any number.
            if matches!(&frame, Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty))
                && !incoming.is_end_stream()
            {
                continue;
            }
            this.waiting = false;
            let whole = incoming.is_end_stream();
            if (frame.is_none() || whole)
                && let Some(unread) = this.unread.take()
            {
                this.activity.body_ended(unread);
            }
            if frame.is_none() && !whole && this.answered.is_some() {
                // To hyper a stream that the client resets without an error is whole.
                let words = "the client ended the request before its body";
                return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, words))));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(as_io)));
        }
        match this.poll_timer(context) {
            Poll::Ready(()) => {
                let words = "the client sent nothing for as long as client_socket_timeout allows";
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, words))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unread.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(unread) = self.unread
            && let (Some(incoming), Some(answered)) = (self.incoming.take(), self.answered.take())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(discard(incoming, answered, unread, Arc::clone(&self.activity)));
        }
    }
}

/// Takes what a client goes on sending on a stream of HTTP/2 after the answer, and throws it away: to reset the stream at once
/// would make clients lose the answer, and one whose window stays shut might never look for it. As on HTTP/1, this has a
/// limit in time; then the stream is reset, without an error. Until the answer is there, the window stays as it is.
async fn discard(
    mut incoming: Incoming,
    answered: oneshot::Receiver<Infallible>,
    unread: activity::Body,
    activity: Arc<Activity>,
) {
    // The sender is dropped with the request.
    let _ = answered.await;
    let rest = async { while let Some(Ok(_)) = incoming.frame().await {} };
    let _ = timeout(LINGER, rest).await;
    activity.body_ended(unread);
}

fn as_io(error: hyper::Error) -> io::Error {
    let kind = if error.is_timeout() {
        io::ErrorKind::TimedOut
    } else if error.is_incomplete_message() || error.is_body_write_aborted() {
        io::ErrorKind::UnexpectedEof
    } else if error.is_parse() {
        io::ErrorKind::InvalidData
    } else {
        io::ErrorKind::ConnectionAborted
    };
    io::Error::new(kind, error)
}
