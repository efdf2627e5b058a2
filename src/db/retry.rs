//! Runs an operation as a whole, again where that is safe, and within a bound.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument;

use super::connection::Db;
use super::error::DbError;
use super::session::{Session, Transaction};

/// Longest time of one operation, waiting for a connection and repeating included, but without the end of its transaction.
const OPERATION_LIMIT: Duration = Duration::from_secs(60);

/// Longest time of a COMMIT. A time of its own: it is not to be cut off, with an unknown outcome, because what was before it
/// took long.
const COMMIT_LIMIT: Duration = Duration::from_secs(20);

/// Repetitions after a deadlock, as upstream's (`wrap_db_retry` in `glance/db/sqlalchemy/api.py`).
const CONTENTION_RETRIES: u32 = 50;
const CONTENTION_PAUSE: Duration = Duration::from_millis(500);

/// Repetitions after a lost connection: enough to find out that all idle ones are stale, or for a quick fail-over.
const DISCONNECT_RETRIES: u32 = 5;
const DISCONNECT_PAUSE: Duration = Duration::from_millis(400);

/// An operation that takes longer is worth a line in the journal.
const SLOW: Duration = Duration::from_secs(2);

/// Some statements that belong together. May run several times, so it must not keep anything from one run to the next.
pub(super) trait Operation: Send + Sync {
    type Output: Send;

    /// For the journal.
    const NAME: &'static str;

    fn run(&self, session: &mut Session) -> impl Future<Output = Result<Self::Output, DbError>> + Send;
}

#[derive(Clone, Copy)]
enum Access {
    /// One query.
    Read,
    /// Several queries on one state.
    Snapshot,
    Write,
}

impl Db {
    /// For an operation of one query.
    pub(super) async fn read<O: Operation>(&self, operation: &O) -> Result<O::Output, DbError> {
        self.repeat(operation, Access::Read, &AtomicBool::new(false)).await
    }

    /// For several queries that must see the same state.
    pub(super) async fn snapshot<O: Operation>(&self, operation: &O) -> Result<O::Output, DbError> {
        self.repeat(operation, Access::Snapshot, &AtomicBool::new(false)).await
    }

    /// For anything that writes: one transaction. It runs to its end even if the caller stops waiting, so that a client
    /// that goes away leaves neither a lock nor half a change.
    pub(super) async fn write<O: Operation + 'static>(&self, operation: O) -> Result<O::Output, DbError>
    where
        O::Output: 'static,
    {
        let db = self.clone();
        let committing = Arc::new(AtomicBool::new(false));
        let sent = Arc::clone(&committing);
        let work = async move { db.repeat(&operation, Access::Write, &sent).await };
        match tokio::spawn(work.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(_) if committing.load(Ordering::SeqCst) => Err(DbError::Interrupted.of_commit()),
            Err(_) => Err(DbError::Interrupted),
        }
    }

    /// `committing` becomes true before a COMMIT is sent.
    async fn repeat<O: Operation>(
        &self,
        operation: &O,
        access: Access,
        committing: &AtomicBool,
    ) -> Result<O::Output, DbError> {
        let start = Instant::now();
        let deadline = start + OPERATION_LIMIT;
        let mut attempts = 0;
        let result = loop {
            let done = Box::pin(self.once(operation, access, deadline, committing)).await;
            attempts += 1;
            let (error, pause) = match done {
                Err(DbError::Contention { source, .. }) if attempts <= CONTENTION_RETRIES => {
                    (DbError::Contention { attempts, source }, pause(attempts, CONTENTION_PAUSE))
                }
                // Nothing was committed: a break during the commit is another error.
                Err(error @ DbError::Unreachable(_)) if attempts <= DISCONNECT_RETRIES => {
                    (error, pause(attempts + 2, DISCONNECT_PAUSE))
                }
                Err(DbError::Contention { source, .. }) => break Err(DbError::Contention { attempts, source }),
                result => break result,
            };
            if Instant::now() + pause >= deadline {
                break Err(error);
            }
            tracing::debug!(operation = O::NAME, attempts, %error, "database operation will be repeated");
            sleep(pause).await;
        };
        let taken = start.elapsed();
        if taken >= SLOW {
            let duration_ms = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(operation = O::NAME, attempts, duration_ms, "slow database operation");
        }
        result
    }

    async fn once<O: Operation>(
        &self,
        operation: &O,
        access: Access,
        deadline: Instant,
        committing: &AtomicBool,
    ) -> Result<O::Output, DbError> {
        committing.store(false, Ordering::SeqCst);
        let work = timeout_at(deadline, self.until_commit(operation, access)).await;
        let (session, output) = work.map_err(|_| DbError::Timeout(OPERATION_LIMIT))??;
        committing.store(matches!(access, Access::Write), Ordering::SeqCst);
        let end = timeout(COMMIT_LIMIT, session.finish()).await;
        match (end.unwrap_or(Err(DbError::Timeout(COMMIT_LIMIT))), access) {
            (Ok(()), _) => Ok(output),
            (Err(error), Access::Write) => Err(error.of_commit()),
            (Err(error), Access::Read | Access::Snapshot) => Err(error),
        }
    }

    /// Everything but the COMMIT, which is left to do in the session that is returned.
    async fn until_commit<O: Operation>(&self, operation: &O, access: Access) -> Result<(Session, O::Output), DbError> {
        let mut session = match access {
            Access::Read | Access::Snapshot => self.reader().await?,
            Access::Write => self.writer().await?,
        };
        match access {
            Access::Read => {}
            Access::Snapshot => session.begin(Transaction::Snapshot).await?,
            Access::Write => session.begin(Transaction::Write).await?,
        }
        match operation.run(&mut session).await {
            Ok(output) => Ok((session, output)),
            Err(error) => {
                session.abandon().await;
                Err(error)
            }
        }
    }
}

/// 10 ms, doubled each time up to `most`, with up to half of it shaved off at random so that rivals part.
fn pause(attempt: u32, most: Duration) -> Duration {
    let full = Duration::from_millis(10).saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(most);
    let noise = RandomState::new().build_hasher().finish() % 1000;
    full.mul_f64(1.0 - noise as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::config::{DatabaseSection, Secret};

    /// Fails as often as told, in the way told, then says how often it ran.
    struct Flaky {
        runs: Arc<AtomicU32>,
        failures: u32,
        error: fn() -> DbError,
    }

    impl Operation for Flaky {
        type Output = u32;
        const NAME: &'static str = "flaky";

        async fn run(&self, _: &mut Session) -> Result<u32, DbError> {
            let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
            if run <= self.failures { Err((self.error)()) } else { Ok(run) }
        }
    }

    fn busy() -> DbError {
        DbError::Contention { attempts: 1, source: sqlx::Error::WorkerCrashed }
    }

    fn gone() -> DbError {
        DbError::Unreachable(sqlx::Error::WorkerCrashed)
    }

    fn lost() -> DbError {
        gone().of_commit()
    }

    async fn run(failures: u32, error: fn() -> DbError) -> (u32, Result<u32, DbError>) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Some(Secret::from(format!("sqlite:///{}/glance.db", folder.path().display()).as_str()));
        let options = DatabaseSection { connection, ..DatabaseSection::default() };
        let db = Db::connect(&options).await.unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let result = db.write(Flaky { runs: Arc::clone(&runs), failures, error }).await;
        (runs.load(Ordering::SeqCst), result)
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again() {
        assert!(matches!(run(4, busy).await, (5, Ok(5))));
        assert!(matches!(run(3, gone).await, (4, Ok(4))));
    }

    #[tokio::test]
    async fn what_breaks_before_the_commit_is_not_unknown() {
        let (runs, result) = run(1, || panic!("in the middle")).await;
        assert!(matches!((runs, result), (1, Err(DbError::Interrupted))));
    }

    #[tokio::test]
    async fn a_lost_connection_is_given_up_after_a_while() {
        assert!(matches!(run(u32::MAX, gone).await, (6, Err(DbError::Unreachable(_)))));
    }

    #[tokio::test]
    async fn what_may_have_happened_or_cannot_is_not_tried_again() {
        assert!(matches!(run(1, lost).await, (1, Err(DbError::CommitUnknown(_)))));
        assert!(matches!(run(1, || DbError::no_image("i")).await, (1, Err(DbError::NotFound { .. }))));
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        for attempt in 0..200 {
            let pause = pause(attempt, CONTENTION_PAUSE);
            assert!(pause >= Duration::from_millis(5) && pause <= CONTENTION_PAUSE, "{attempt}: {pause:?}");
        }
        assert!(pause(20, CONTENTION_PAUSE) >= CONTENTION_PAUSE / 2);
    }
}
