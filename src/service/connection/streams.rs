//! The tasks of an HTTP/2 connection, one for each request, and what becomes of one whose client does not take the response.
//!
//! On HTTP/1 such a client is seen on its connection. An HTTP/2 client may keep the window of one stream shut while others, or
//! mere PINGs, keep the connection busy. What hyper has queued for such a stream, it holds until the connection ends. So the
//! client is told to make its next requests on another connection; those in flight are served, and then this one ends.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::activity::Activity;
use super::progress::Progress;

/// Runs what hyper hands over. hyper calls the service and then hands over the task of that request, one request at a time.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    activity: Arc<Activity>,
    /// `None`: a response may wait for its client for ever.
    limit: Option<Duration>,
    /// The request whose task comes next.
    next: Arc<Mutex<Option<Arc<Progress>>>>,
}

impl Streams {
    pub(super) fn new(activity: &Arc<Activity>, limit: Option<Duration>) -> Self {
        Self { activity: Arc::clone(activity), limit, next: Arc::default() }
    }

    /// The service has been called for this request.
    pub(super) fn called(&self, progress: &Arc<Progress>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(progress));
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let progress = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((limit, progress)) = self.limit.zip(progress) else {
            tokio::spawn(stream);
            return;
        };
        let activity = Arc::clone(&self.activity);
        tokio::spawn(async move {
            tokio::select! {
                () = stream => {}
                () = progress.stuck(limit) => activity.abandon(&progress),
            }
        });
    }
}
