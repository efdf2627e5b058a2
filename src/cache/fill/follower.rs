//! Following the writer of another process by the file that it writes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::progress::{Fill, PATIENCE, Progress};
use crate::cache::blocking::blocking;
use crate::cache::layout::{FROZEN, Layout, Left, STOPPED, TakeOver, WriterState};
use crate::store::OpenFile;

/// Between two looks. A gigabyte a second is ten megabytes in this time.
const PAUSE: Duration = Duration::from_millis(10);

/// The pause between two looks grows to this while nothing comes.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// What the time between two looks counts for at most: where it was longer, this process was stopped, and the writer perhaps with it.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// However long it has shown nothing already, a writer has this time to show that it lives: the file system's clock may be another.
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

/// How long a writer is followed that shows nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct Bounds {
    /// Nothing more of the image, be it that its store hangs.
    pub(super) frozen: Duration,
    /// No sign that its process runs, where it has promised that: as when it was stopped by a signal.
    pub(super) stopped: Duration,
}

impl Bounds {
    pub(in crate::cache) const USUAL: Self = Self { frozen: FROZEN, stopped: STOPPED };
}

/// How long a sign of the writer has been the same.
#[derive(Default)]
struct Silence {
    lasts: Duration,
    sign: Option<SystemTime>,
}

impl Silence {
    /// Takes note of what was seen, `elapsed` after the last look; whether it is another. `bound`: how long it may last.
    fn look(&mut self, sign: SystemTime, elapsed: Duration, bound: Duration) -> bool {
        self.lasts += elapsed;
        match self.sign.replace(sign) {
            // It was silent before anybody of this process looked.
            None => self.lasts = sign.elapsed().unwrap_or_default().min(bound.saturating_sub(LEAST_WAIT)),
            Some(known) if known == sign => {}
            Some(_) => {
                self.lasts = Duration::ZERO;
                return true;
            }
        }
        false
    }
}

/// Tells `fill` how far the writer of the file `seen` is, until that has ended or nobody of this process reads any more. A writer that
/// shows nothing for so long is given up.
pub(in crate::cache) async fn follow(
    fill: &Fill,
    layout: &Layout,
    id: &str,
    seen: &Arc<OpenFile>,
    bounds: Bounds,
) -> Followed {
    let mut pause = PAUSE;
    // What its readers may have got: there may have been some before, whom nobody followed.
    let mut before = Some(fill.written()).filter(|written| *written > 0);
    let mut verified = fill.is_right().then(Instant::now);
    // Of what it writes, and of its process.
    let (mut idle, mut lifeless) = (Silence::default(), Silence::default());
    let (mut contests, mut last_look) = (0, Instant::now());
    loop {
        let (place, name, own) = (layout.clone(), id.to_owned(), Arc::clone(seen));
        let looked = blocking(move || {
            let (state, metadata) = (place.writer_state(&name, &own)?, own.metadata()?);
            Ok((state, metadata.modified()?, Layout::changed(&metadata), Layout::promises_beats(&own)))
        });
        let looked = looked.await;
        let elapsed = last_look.elapsed().min(LONGEST_SILENCE);
        last_look = Instant::now();
        let mut is_stopped = false;
        if let Ok((_, modified, changed, promises_beats)) = &looked {
            if idle.look(*modified, elapsed, bounds.frozen) {
                contests = 0;
            }
            lifeless.look(*changed, elapsed, bounds.stopped);
            is_stopped = *promises_beats && lifeless.lasts >= bounds.stopped;
        }
        let file = Arc::clone(seen);
        match looked.map(|(state, ..)| state) {
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
                        (idle.lasts, contests) = (Duration::ZERO, 0);
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
        if verified.is_none() && (is_stopped || idle.lasts >= bounds.frozen) {
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
