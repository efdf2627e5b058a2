//! Following the writer of another process by the file that it writes.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::progress::{Failure, Fill, Progress};
use crate::cache::blocking::blocking;
use crate::cache::layout::{Foreign, Layout};

/// Between two looks. A gigabyte a second is ten megabytes in this time.
const PAUSE: Duration = Duration::from_millis(10);

/// The pause grows to this while nothing comes.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// Tells `fill` how far the writer is, until that has ended or nobody of this process reads any more. `true`: nobody does, and
/// `fill` has not ended.
pub(in crate::cache) async fn follow(fill: &Fill, layout: &Layout, id: &str, file: Arc<File>) -> bool {
    let mut pause = PAUSE;
    let mut before = None;
    loop {
        let (place, name, seen) = (layout.clone(), id.to_owned(), Arc::clone(&file));
        let looked = blocking(move || place.look_at(&name, &seen)).await;
        match looked {
            Ok(Foreign::Growing(written)) => {
                if before.replace(written) == Some(written) {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                } else {
                    pause = PAUSE;
                    fill.tell(Progress::Growing { file: Arc::clone(&file), written });
                }
            }
            Ok(Foreign::Finished(size)) => {
                fill.tell(Progress::Whole { file, size });
                return false;
            }
            Ok(Foreign::Refuted) => {
                fill.tell(Progress::Failed(Failure::Refuted));
                return false;
            }
            Ok(Foreign::Abandoned) | Err(_) => {
                fill.tell(Progress::Failed(Failure::GivenUp));
                return false;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = fill.unread() => return true,
        }
    }
}
