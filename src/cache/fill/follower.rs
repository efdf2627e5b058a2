//! Following the writer of another process by the file that it writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::progress::{Fill, PATIENCE, Progress};
use crate::cache::blocking::blocking;
use crate::cache::layout::{Layout, Left, TakeOver, WriterState};
use crate::store::OpenFile;

/// Between two looks. A gigabyte a second is ten megabytes in this time.
const PAUSE: Duration = Duration::from_millis(10);

/// The pause between two looks grows to this while nothing comes.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// What the time between two looks counts for at most: where it was longer, this process was stopped, and the writer perhaps with it.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// However long nothing has come already, a writer has this time to show that it lives: the file system's clock may be another.
const LEAST_WAIT: Duration = Duration::from_secs(5);

/// How often in a row the file of a dead writer is asked for that others have locked, if only to look at it.
const MOST_CONTESTS: u32 = 100;

/// Why a writer is not followed any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Followed {
    /// The fill has ended, and its readers know.
    Ended,
    /// The writer was gone before anything that it wrote was seen; whoever wants the image may begin it anew.
    Gone,
    /// The writer is dead, and its file ours to go on with. The fill has not ended.
    Ours(Left),
    /// Nobody of this process reads any more; the fill has not ended.
    Unread,
}

/// Tells `fill` how far the writer of the file `seen` is, until that has ended or nobody of this process reads any more. A writer that
/// shows no sign of life for `frozen`, as a process that was stopped by a signal, is given up.
pub(in crate::cache) async fn follow(
    fill: &Fill,
    layout: &Layout,
    id: &str,
    seen: &Arc<OpenFile>,
    frozen: Duration,
) -> Followed {
    let mut pause = PAUSE;
    // What its readers may have got: there may have been some before, whom nobody followed.
    let mut before = Some(fill.written()).filter(|written| *written > 0);
    let mut verified = fill.is_right().then(Instant::now);
    // How long there has been no sign of life, and what the file system said at the last look about the last change of the file.
    let (mut silent, mut modified) = (Duration::ZERO, None);
    let (mut contests, mut last_look) = (0, Instant::now());
    loop {
        let (place, name, own) = (layout.clone(), id.to_owned(), Arc::clone(seen));
        let looked = blocking(move || Ok((place.writer_state(&name, &own)?, own.metadata()?.modified()?))).await;
        silent += last_look.elapsed().min(LONGEST_SILENCE);
        last_look = Instant::now();
        if let Ok((_, time)) = &looked {
            match modified.replace(*time) {
                // It was silent before anybody of this process looked.
                None => silent = time.elapsed().unwrap_or_default().min(frozen.saturating_sub(LEAST_WAIT)),
                Some(known) if known != *time => (silent, contests) = (Duration::ZERO, 0),
                Some(_) => {}
            }
        }
        let file = Arc::clone(seen);
        match looked.map(|(state, _)| state) {
            // The writer may still find that there is no room, or its store may not answer: as if nobody wrote.
            Ok(WriterState::Writing(0)) => pause = longer(pause),
            Ok(WriterState::Writing(written)) => {
                let known = before.replace(written);
                if known == Some(written) {
                    pause = longer(pause);
                } else {
                    pause = PAUSE;
                    // The first look tells nothing of how old that is.
                    if known.is_some() {
                        (silent, contests) = (Duration::ZERO, 0);
                    }
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
                unfollow(Arc::clone(&file)).await;
                if let Some(size) = before {
                    fill.tell(Progress::Whole { file, size });
                }
                return Followed::Ended;
            }
            Ok(WriterState::Gone) if contests < MOST_CONTESTS => {
                let (place, name, own) = (layout.clone(), id.to_owned(), Arc::clone(&file));
                match blocking(move || place.take_over(&name, &own)).await {
                    Ok(TakeOver::Ours(left)) => return Followed::Ours(left),
                    Ok(TakeOver::Contested) => (pause, contests) = (PAUSE, contests + 1),
                    Ok(TakeOver::Lost) | Err(_) => return give_up(fill, file).await,
                }
            }
            Ok(WriterState::Gone) | Err(_) => return give_up(fill, file).await,
        }
        if verified.is_none() && silent >= frozen {
            tracing::warn!(
                image_id = id,
                "the writer of an image for the cache stands still, its readers go on at the store"
            );
            return give_up(fill, Arc::clone(seen)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = fill.unread() => return Followed::Unread,
        }
    }
}

/// Sends the readers of this process to the store.
async fn give_up(fill: &Fill, file: Arc<OpenFile>) -> Followed {
    fill.abandon();
    unfollow(file).await;
    Followed::Ended
}

/// Lets others begin the image anew. As long as a reader has the file open, they would take this process for one that goes on with it.
async fn unfollow(file: Arc<OpenFile>) {
    let _ = blocking(move || {
        Layout::unlock_followed(&file);
        Ok(())
    })
    .await;
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
