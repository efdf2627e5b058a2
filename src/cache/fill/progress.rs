//! How far a fill is, told to its readers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::prefix::Prefix;
use crate::store::OpenFile;

/// How long the end of the data waits for the image to be in the cache. Whoever looks there right after a download finds it, as
/// with upstream; and nobody waits long for a slow disk.
pub(in crate::cache) const PATIENCE: Duration = Duration::from_millis(500);

/// A fill under way, of this process or followed by it.
#[derive(Debug)]
pub(in crate::cache) struct Fill {
    progress: watch::Sender<Progress>,
}

/// How far a fill is.
#[derive(Clone, Debug)]
pub(in crate::cache) enum Progress {
    /// Neither file nor store have answered yet.
    Starting,
    /// So many bytes can be read from the file. Nobody knows yet whether they are right.
    Growing { file: Arc<OpenFile>, written: u64 },
    /// All bytes are there and right, and it takes long to make them durable. The disk may still refuse them.
    Verified { file: Arc<OpenFile>, size: u64 },
    /// All bytes are there and right, and the disk has them.
    Whole { file: Arc<OpenFile>, size: u64 },
    /// It will not become an image of the cache, for a reason that says nothing about the data: readers take the rest from the store.
    /// What was written can be read first; `None`: where the disk has refused it, or nothing was.
    Abandoned(Option<Arc<Prefix>>),
    /// The data is not that of the image.
    Invalid,
}

impl Fill {
    pub(in crate::cache) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::Starting) }
    }

    pub(in crate::cache) fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Sends readers to the store, behind what was written.
    pub(in crate::cache) fn abandon(&self) {
        self.progress.send_modify(|progress| {
            let prefix = match &*progress {
                Progress::Growing { file, written } => Some(Arc::new(Prefix::new(Arc::clone(file), *written))),
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

    /// Whether the data was found right.
    pub(in crate::cache) fn is_right(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Verified { .. } | Progress::Whole { .. })
    }

    /// Whether there is nothing more to tell.
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
