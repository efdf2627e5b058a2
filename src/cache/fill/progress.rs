//! How far a fill is, told to its readers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::prefix::Prefix;
use crate::store::{DigestState, OpenFile};

/// How long the end of the data waits for the image to be in the cache. Whoever looks there right after a download finds it, as
/// with upstream; and nobody waits long for a slow disk.
pub(in crate::cache) const PATIENCE: Duration = Duration::from_millis(500);

/// An image on its way into the cache, as its readers in this process see it. It is written by this process or another one.
#[derive(Debug)]
pub(in crate::cache) struct Fill {
    progress: watch::Sender<Progress>,
    /// What its writer had digested when it failed: how many bytes, and their digests.
    digested: Mutex<Option<(u64, DigestState)>>,
}

/// How far a fill is.
#[derive(Clone, Debug)]
pub(in crate::cache) enum Progress {
    /// Neither file nor store have answered yet.
    Starting,
    /// So many bytes can be read from the file. Nobody knows yet whether they are right.
    Growing { file: Arc<OpenFile>, written: u64 },
    /// All bytes are there and found right, but they are not durable yet, and that takes long. Not an end: [`Self::Whole`] follows, or
    /// [`Self::Abandoned`] where the disk refuses them.
    Verified { file: Arc<OpenFile>, size: u64 },
    /// All bytes are there and found right, and the disk has not refused them: the fill has ended, with the image in the cache or not.
    Whole { file: Arc<OpenFile>, size: u64 },
    /// It will not become an image of the cache, for a reason that says nothing about the data: readers take the rest from the store.
    /// What was written can be read first; `None`: where the disk has refused it, or nothing was.
    Abandoned(Option<Arc<Prefix>>),
    /// The data is not that of the image.
    Invalid,
}

impl Fill {
    pub(in crate::cache) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::Starting), digested: Mutex::default() }
    }

    pub(in crate::cache) fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Keeps what its writer, which has failed, has digested: `written` bytes. So nobody has to digest them again, be it the writer
    /// that goes on or, after [`Self::abandon`], the readers.
    pub(super) fn keep_digests(&self, written: u64, state: DigestState) {
        *self.digested.lock().unwrap_or_else(PoisonError::into_inner) = Some((written, state));
    }

    /// What was kept.
    pub(super) fn take_digests(&self) -> Option<(u64, DigestState)> {
        self.digested.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sends readers to the store, behind what was written.
    pub(in crate::cache) fn abandon(&self) {
        let digested = self.take_digests();
        self.progress.send_modify(|progress| {
            let prefix = match &*progress {
                Progress::Growing { file, written } => {
                    let digests = digested.filter(|(digested, _)| digested == written).map(|(_, state)| state);
                    Some(Arc::new(Prefix::new(Arc::clone(file), *written, digests)))
                }
                _ => None,
            };
            *progress = Progress::Abandoned(prefix);
        });
    }

    /// Bytes that can be read so far.
    pub(in crate::cache) fn written(&self) -> u64 {
        match *self.progress.borrow() {
            Progress::Growing { written, .. } => written,
            Progress::Verified { size, .. } | Progress::Whole { size, .. } => size,
            Progress::Starting | Progress::Abandoned(_) | Progress::Invalid => 0,
        }
    }

    /// Whether the data was found right, be it durable or not.
    pub(in crate::cache) fn is_right(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Verified { .. } | Progress::Whole { .. })
    }

    /// Whether there is nothing more to tell. Not yet where the data is right but not durable.
    pub(in crate::cache) fn has_ended(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Whole { .. } | Progress::Abandoned(_) | Progress::Invalid)
    }

    /// What a reader listens to. As long as it is kept, the fill has a reader.
    pub(in crate::cache) fn listen(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(in crate::cache) fn is_read(&self) -> bool {
        self.progress.receiver_count() > 0
    }

    /// Waits until nobody reads any more.
    pub(in crate::cache) async fn unread(&self) {
        self.progress.closed().await;
    }
}
