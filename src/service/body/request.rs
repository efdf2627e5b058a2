//! The body of a request as the application reads it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::service::connection::activity::Activity;

/// Bytes from the client, with a limit on how long none may come while somebody waits for them.
pub(in crate::service) struct RequestBody {
    incoming: Incoming,
    limit: Option<Duration>,
    /// Runs while the reader waits.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    ended: bool,
    activity: Arc<Activity>,
}

impl RequestBody {
    pub(in crate::service) fn new(incoming: Incoming, limit: Option<Duration>, activity: Arc<Activity>) -> Self {
        let ended = incoming.is_end_stream();
        if !ended {
            activity.body_begins();
        }
        Self { incoming, limit, timer: None, waiting: false, ended, activity }
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
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(frame) => {
                self.waiting = false;
                self.ended = frame.is_none() || self.incoming.is_end_stream();
                if self.ended {
                    self.activity.body_ended();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(as_io)))
            }
            Poll::Pending => match self.poll_timer(context) {
                Poll::Ready(()) => {
                    let words = "the client sent nothing for as long as client_socket_timeout allows";
                    Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, words))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
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
