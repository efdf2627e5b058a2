//! What a task says and looks at while its data comes.

use std::error::Error as StdError;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::progress::Progress;
use crate::db::tasks as rows;
use crate::image::Hold;
use crate::task::tasks::Tasks;

/// How often a task says how far it is, and looks whether its image is still there.
const REPORT: Duration = Duration::from_secs(30);

/// For whom a task works.
#[derive(Clone, Copy)]
pub(in crate::task) struct Subject<'s> {
    pub(in crate::task) task_id: &'s str,
    pub(in crate::task) image_id: &'s str,
    /// Nobody else may have the image meanwhile.
    pub(in crate::task) hold: Option<&'s Hold>,
}

impl Tasks {
    /// Does the work, and has the task say how far it is. `size`: bytes that are to come.
    ///
    /// Data that is counted by `progress` ends in an error once its image is deleted or somebody else's, and so do plugins that work on it. A
    /// server that sends a byte now and then, or a disk whose conversion takes hours, could else keep the task, and its place. The work
    /// itself goes on to its end: stores undo what they have begun.
    pub(in crate::task) async fn reporting<T>(
        &self,
        subject: Subject<'_>,
        progress: &Progress,
        size: Option<u64>,
        work: impl Future<Output = T>,
    ) -> T {
        let report = async {
            loop {
                sleep(REPORT).await;
                // The lease is renewed by others; a report that is lost is followed by the next.
                if let Err(error) = rows::report(&self.db, subject.task_id, progress.message(size)).await {
                    warn!(
                        task_id = subject.task_id,
                        error = &error as &dyn StdError,
                        "a task cannot say how far it is"
                    );
                }
                // Where the database does not answer, the next look or the end will tell.
                if let Ok(true) = self.is_unwanted(subject).await {
                    progress.give_up();
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = report => unreachable!("it has no end"),
        }
    }

    async fn is_unwanted(&self, subject: Subject<'_>) -> Result<bool, crate::image::Error> {
        match subject.hold {
            Some(hold) => Ok(self.images.look_at_held(subject.image_id, hold).await?.is_none()),
            None => self.images.is_deleted(subject.image_id).await,
        }
    }
}
