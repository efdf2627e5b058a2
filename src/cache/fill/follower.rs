//! Following the writer of another process by the file that it writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::progress::{Fill, PATIENCE, Progress};
use crate::cache::blocking::blocking;
use crate::cache::layout::{Layout, WriterState};
use crate::store::OpenFile;

/// Between two looks. A gigabyte a second is ten megabytes in this time.
const PAUSE: Duration = Duration::from_millis(10);

/// The pause grows to this while nothing comes.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// Why a writer is not followed any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Followed {
    /// The fill has ended, and its readers know.
    Ended,
    /// The writer was gone before anything was seen of it; somebody else may write the image.
    Gone,
    /// Nobody of this process reads any more; the fill has not ended.
    Unread,
}

/// Tells `fill` how far the writer is, until that has ended or nobody of this process reads any more. A writer of which nothing comes
/// for `frozen`, as of a process that was stopped by a signal, is given up.
pub(in crate::cache) async fn follow(
    fill: &Fill,
    layout: &Layout,
    id: &str,
    file: &Arc<OpenFile>,
    frozen: Duration,
) -> Followed {
    let mut pause = PAUSE;
    let mut before = None;
    let (mut verified, mut changed) = (None, Instant::now());
    loop {
        let (place, name, seen) = (layout.clone(), id.to_owned(), Arc::clone(file));
        let looked = blocking(move || place.writer_state(&name, &seen)).await;
        let file = Arc::clone(file);
        match looked {
            // The writer may still find that there is no room, or its store may not answer: as if nobody wrote.
            Ok(WriterState::Writing(0)) => pause = longer(pause),
            Ok(WriterState::Writing(written)) => {
                if before.replace(written) == Some(written) {
                    pause = longer(pause);
                } else {
                    (pause, changed) = (PAUSE, Instant::now());
                    fill.tell(Progress::Growing { file, written });
                }
            }
            // It is followed on: who reads its file may not lose it to an eviction, and who waits for the image wants it in the cache.
            Ok(WriterState::Verified(size)) => {
                (before, pause) = (Some(size), PAUSE);
                let since = *verified.get_or_insert_with(Instant::now);
                if fill.is_right() {
                    pause = LONGEST_PAUSE;
                } else if since.elapsed() >= PATIENCE {
                    fill.tell(Progress::Verified { file, size });
                }
            }
            Ok(WriterState::Finished(size)) => {
                fill.tell(Progress::Whole { file, size });
                return Followed::Ended;
            }
            Ok(WriterState::Invalid) => {
                fill.tell(Progress::Invalid);
                return Followed::Ended;
            }
            Ok(WriterState::Refused) => {
                fill.tell(Progress::Abandoned(None));
                return Followed::Ended;
            }
            Ok(WriterState::Gone) | Err(_) if before.is_none() => return Followed::Gone,
            // What was found right is right, whatever becomes of its file.
            Ok(WriterState::Gone) | Err(_) if verified.is_some() => {
                if let Some(size) = before {
                    fill.tell(Progress::Whole { file, size });
                }
                return Followed::Ended;
            }
            Ok(WriterState::Gone) | Err(_) => {
                fill.abandon();
                return Followed::Ended;
            }
        }
        if verified.is_none() && changed.elapsed() >= frozen {
            tracing::warn!(
                image_id = id,
                "the writer of an image for the cache stands still, its readers go on at the store"
            );
            fill.abandon();
            return Followed::Ended;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = fill.unread() => return Followed::Unread,
        }
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
