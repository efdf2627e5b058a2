//! That a writer lives, for those who follow its file in other processes.

use std::sync::Arc;

use tokio::time::sleep;

use super::blocking::blocking;
use super::layout::{BEAT, Layout};
use crate::store::OpenFile;

/// Keeps followers waiting for the writer of a file that is ours while it does not grow; see [`Layout::show_life`].
pub(super) async fn show_life(file: &Arc<OpenFile>) {
    let own = Arc::clone(file);
    // Without a thread the next sign does it.
    let _ = blocking(move || {
        Layout::show_life(&own);
        Ok(())
    })
    .await;
}

/// Does the work of the writer of a file that is ours, and shows its followers meanwhile that it is not stopped.
pub(super) async fn alive<T>(file: &Arc<OpenFile>, work: impl Future<Output = T>) -> T {
    let beating = async {
        loop {
            let own = Arc::clone(file);
            // As above.
            let _ = blocking(move || {
                Layout::beat(&own);
                Ok(())
            })
            .await;
            sleep(BEAT).await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        never = beating => never,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// However long its store gives nothing, and though it comes no further.
    #[tokio::test]
    async fn a_writer_that_waits_shows_that_it_lives() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let (own, seen) = (OpenFile::shared(place.reopen().unwrap()), File::open(place.path()).unwrap());
        let changed = || Layout::changed(&seen.metadata().unwrap());
        let modified = seen.metadata().unwrap().modified().unwrap();
        let waiting = async {
            while !Layout::promises_beats(&seen) {
                sleep(Duration::from_millis(10)).await;
            }
            let promised = changed();
            while changed() == promised {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(10 * BEAT, alive(&own, waiting)).await.expect("no sign of life");
        assert_eq!(seen.metadata().unwrap().modified().unwrap(), modified);
    }
}
