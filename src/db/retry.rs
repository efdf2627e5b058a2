//! Runs an operation as a whole, again where that is safe, and within a bound.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument;

use crate::config::DatabaseSection;

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

/// Repetitions after a lost connection, or while none can be made, unless `use_db_reconnect` asks for others: four seconds or so,
/// enough for a quick fail-over.
const DISCONNECT_RETRIES: u32 = 12;
const DISCONNECT_PAUSE: Duration = Duration::from_millis(400);

/// An operation that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_secs(2);

/// Some statements that belong together. May run several times, so it must not keep anything from one run to the next.
pub(super) trait Operation: Send + Sync {
    type Output: Send;

    /// For the log.
    const NAME: &'static str;

    /// The transaction in which it runs if it writes.
    const TRANSACTION: Transaction = Transaction::Write;

    /// Called when the operation is no longer in line for a connection: it is sure of one, or the attempt has failed.
    fn left_queue(&self) {}

    fn run(&self, session: &mut Session) -> impl Future<Output = Result<Self::Output, DbError>> + Send;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// One query, or several that need not see the same state.
    Read,
    /// Several queries on one state.
    Snapshot,
    Write,
}

/// How far an operation has come, for whoever outlives its future.
#[derive(Default)]
struct Progress {
    /// It has, or is making, a connection.
    has_connection: AtomicBool,
    /// Its COMMIT has perhaps been sent, and has not been refused.
    is_committing: AtomicBool,
    /// Nobody waits for it any more.
    is_abandoned: AtomicBool,
}

impl Db {
    /// For an operation of one query, or of several that need not see the same state.
    pub(super) async fn read<O: Operation + 'static>(&self, operation: O) -> Result<O::Output, DbError> {
        self.finish(operation, Access::Read).await
    }

    /// For several queries that must see the same state.
    pub(super) async fn snapshot<O: Operation + 'static>(&self, operation: O) -> Result<O::Output, DbError> {
        self.finish(operation, Access::Snapshot).await
    }

    /// For anything that writes: one transaction. It runs to its end even if the caller stops waiting, so that a client
    /// that goes away leaves neither a lock nor half a change.
    pub(super) async fn write<O: Operation + 'static>(&self, operation: O) -> Result<O::Output, DbError>
    where
        O::Output: 'static,
    {
        let db = self.clone();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let work = async move { db.repeat(&operation, Access::Write, &shared).await };
        match tokio::spawn(work.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(_) if progress.is_committing.load(Ordering::SeqCst) => Err(DbError::Interrupted.of_commit()),
            Err(_) => Err(DbError::Interrupted),
        }
    }

    /// If the caller stops waiting, an operation that has a connection runs to its end in the background, so that the
    /// connection is fit for the next one; the number of connections bounds such work. One that has none is dropped.
    fn finish<O: Operation + 'static>(&self, operation: O, access: Access) -> Finish<Result<O::Output, DbError>> {
        let db = self.clone();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let work = async move {
            match (db.repeat(&operation, access, &shared).await, db.replica_in_use()) {
                // What a replica does not know may only be new.
                (Err(error), Some((main, replica))) => {
                    replica.note(&error);
                    main.repeat(&operation, access, &shared).await
                }
                (done, _) => done,
            }
        };
        Finish { work: Some(Box::pin(work.in_current_span())), progress }
    }

    async fn repeat<O: Operation>(
        &self,
        operation: &O,
        access: Access,
        progress: &Progress,
    ) -> Result<O::Output, DbError> {
        let reconnects = Reconnects::of(self);
        let start = Instant::now();
        let deadline = start + OPERATION_LIMIT;
        let mut attempts = 0;
        let result = loop {
            let done = Box::pin(self.once(operation, access, deadline, progress)).await;
            progress.has_connection.store(false, Ordering::SeqCst);
            operation.left_queue();
            attempts += 1;
            let (error, pause) = match done {
                Err(DbError::Contention { source, .. }) if attempts <= CONTENTION_RETRIES => {
                    (DbError::Contention { attempts, source }, pause(attempts, CONTENTION_PAUSE))
                }
                // Nothing was committed: a break during the commit is another error.
                Err(error @ DbError::Unreachable(_)) if attempts <= reconnects.most => {
                    (error, reconnects.pause(attempts))
                }
                Err(DbError::Contention { source, .. }) => break Err(DbError::Contention { attempts, source }),
                result => break result,
            };
            if Instant::now() + pause >= deadline || progress.is_abandoned.load(Ordering::SeqCst) {
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
        progress: &Progress,
    ) -> Result<O::Output, DbError> {
        let work = timeout_at(deadline, self.until_commit(operation, access, progress)).await;
        let (session, output) = work.map_err(|_| DbError::Timeout(OPERATION_LIMIT))??;
        progress.is_committing.store(access == Access::Write, Ordering::SeqCst);
        let end = timeout(COMMIT_LIMIT, session.finish()).await.unwrap_or(Err(DbError::Timeout(COMMIT_LIMIT)));
        let end = end.map_err(|error| if access == Access::Write { error.of_commit() } else { error });
        if end.as_ref().is_err_and(|error| !error.is_unknown()) {
            progress.is_committing.store(false, Ordering::SeqCst);
        }
        end.map(|()| output)
    }

    /// Everything but the COMMIT, which is left to do in the session that is returned: while this is in doubt, nothing is committed.
    async fn until_commit<O: Operation>(
        &self,
        operation: &O,
        access: Access,
        progress: &Progress,
    ) -> Result<(Session, O::Output), DbError> {
        let on_turn = || {
            progress.has_connection.store(true, Ordering::SeqCst);
            operation.left_queue();
        };
        let mut session = self.session(access == Access::Write, on_turn).await?;
        match access {
            Access::Read if session.is_pooled() => session.begin(Transaction::Read).await?,
            Access::Read => {}
            Access::Snapshot => session.begin(Transaction::Snapshot).await?,
            Access::Write => session.begin(O::TRANSACTION).await?,
        }
        let error = match operation.run(&mut session).await {
            Ok(output) => match session.ensure_whole().await {
                Ok(()) => return Ok((session, output)),
                Err(error) => error,
            },
            Err(error) => session.explain(error).await,
        };
        session.abandon().await;
        Err(error)
    }
}

/// How an operation is repeated after a lost connection, or while none can be made.
struct Reconnects {
    most: u32,
    /// As `use_db_reconnect` has them: the first pause, whether each is twice the one before, and the longest.
    configured: Option<(Duration, bool, Duration)>,
}

impl Reconnects {
    fn of(db: &Db) -> Self {
        // There is the database itself to ask; one attempt more is for a connection that was cut while it was idle.
        if db.replica_in_use().is_some() {
            return Self { most: 1, configured: None };
        }
        Self::configured(db.options())
    }

    /// `db_max_retries` of -1 is no limit but that of the time of an operation.
    fn configured(options: &DatabaseSection) -> Self {
        if !options.use_db_reconnect {
            return Self { most: DISCONNECT_RETRIES, configured: None };
        }
        let seconds = |number: i64| Duration::from_secs(u64::try_from(number).unwrap_or(0));
        let pauses =
            (seconds(options.db_retry_interval), options.db_inc_retry_interval, seconds(options.db_max_retry_interval));
        Self { most: u32::try_from(options.db_max_retries).unwrap_or(u32::MAX), configured: Some(pauses) }
    }

    /// What to wait after this attempt. After the first never long: its connection may have been cut while it was idle.
    fn pause(&self, attempt: u32) -> Duration {
        match self.configured {
            Some((first, grows, longest)) if attempt > 1 => {
                let times = if grows { 1 << (attempt - 2).min(20) } else { 1 };
                // At least some time, so that a database that is away is not asked without a break.
                first.saturating_mul(times).min(longest).max(Duration::from_millis(10))
            }
            _ => pause(attempt + 2, DISCONNECT_PAUSE),
        }
    }
}

/// An operation that is not cut off in the middle.
struct Finish<T: 'static> {
    /// `None` when done.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    progress: Arc<Progress>,
}

impl<T: 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let done = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(done)
    }
}

impl<T: 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        self.progress.is_abandoned.store(true, Ordering::SeqCst);
        if self.progress.has_connection.load(Ordering::SeqCst)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}

/// 10 ms, doubled each time up to `most`, with up to half of it shaved off at random so that rivals part.
fn pause(attempt: u32, most: Duration) -> Duration {
    let full = Duration::from_millis(10).saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(most);
    full.mul_f64(1.0 - fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use sea_query::Query;
    use tokio::sync::Notify;

    use super::*;
    use crate::config::{DatabaseSection, Secret};
    use crate::db::row::Columns;

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
        DbError::Contention { attempts: 1, source: sqlx::Error::WorkerCrashed.into() }
    }

    fn gone() -> DbError {
        DbError::Unreachable(sqlx::Error::WorkerCrashed.into())
    }

    fn lost() -> DbError {
        gone().of_commit()
    }

    async fn open() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Some(Secret::from(format!("sqlite:///{}/glance.db", folder.path().display()).as_str()));
        let options = DatabaseSection { connection, ..DatabaseSection::default() };
        let db = Db::connect(&options).await.unwrap();
        (folder, db)
    }

    async fn run(failures: u32, error: fn() -> DbError) -> (u32, Result<u32, DbError>) {
        let (_folder, db) = open().await;
        let runs = Arc::new(AtomicU32::new(0));
        let result = db.write(Flaky { runs: Arc::clone(&runs), failures, error }).await;
        (runs.load(Ordering::SeqCst), result)
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_for_a_while() {
        assert!(matches!(run(4, busy).await, (5, Ok(5))));
        assert!(matches!(run(3, gone).await, (4, Ok(4))));
        assert!(matches!(run(u32::MAX, gone).await, (13, Err(DbError::Unreachable(_)))));
    }

    #[test]
    fn use_db_reconnect_has_its_own_pauses() {
        let reconnects = |grows, most| {
            Reconnects::configured(&DatabaseSection {
                use_db_reconnect: true,
                db_retry_interval: 2,
                db_inc_retry_interval: grows,
                db_max_retry_interval: 5,
                db_max_retries: most,
                ..DatabaseSection::default()
            })
        };
        let pauses = |reconnects: &Reconnects| [2, 3, 4, 90].map(|attempt| reconnects.pause(attempt).as_secs());
        let growing = reconnects(true, 7);
        assert_eq!((pauses(&growing), growing.most), ([2, 4, 5, 5], 7));
        assert!(growing.pause(1) < Duration::from_millis(100));
        let steady = reconnects(false, -1);
        assert_eq!((pauses(&steady), steady.most), ([2, 2, 2, 2], u32::MAX));
        assert_eq!(Reconnects::configured(&DatabaseSection::default()).most, DISCONNECT_RETRIES);
    }

    #[tokio::test]
    async fn what_may_have_happened_or_cannot_is_not_tried_again() {
        assert!(matches!(run(1, lost).await, (1, Err(DbError::CommitUnknown(_)))));
        assert!(matches!(run(1, || DbError::no_image("i")).await, (1, Err(DbError::NotFound { .. }))));
        // What breaks before the COMMIT is not unknown.
        assert!(matches!(run(1, || panic!("in the middle")).await, (1, Err(DbError::Interrupted))));
    }

    /// Says that it began, waits to be told to go on, and says that it is done.
    struct Slow {
        began: Arc<Notify>,
        go_on: Arc<Notify>,
        ended: Arc<Notify>,
    }

    impl Operation for Slow {
        type Output = ();
        const NAME: &'static str = "slow";

        async fn run(&self, session: &mut Session) -> Result<(), DbError> {
            session.plain("PRAGMA cache_size = 4321").await?;
            self.began.notify_one();
            self.go_on.notified().await;
            session.plain("SELECT 1").await?;
            self.ended.notify_one();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_read_whose_caller_goes_away_gives_back_its_connection() {
        let (_folder, db) = open().await;
        let [began, go_on, ended] = [(); 3].map(|()| Arc::new(Notify::new()));
        let slow = Slow { began: began.clone(), go_on: go_on.clone(), ended: ended.clone() };
        let task = tokio::spawn({
            let db = db.clone();
            async move { db.snapshot(slow).await }
        });
        began.notified().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        go_on.notify_one();
        ended.notified().await;
        let query = Query::select().column("cache_size").from("pragma_cache_size").take();
        for _ in 0..500 {
            // There are two connections at least.
            for mut next in [db.reader().await.unwrap(), db.reader().await.unwrap()] {
                let size = next.row(&query, |row| Columns::of(row).integer()).await.unwrap();
                if size == Some(4321) {
                    // The transaction was ended too.
                    return next.begin(Transaction::Snapshot).await.unwrap();
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the connection was not given back");
    }

    #[tokio::test]
    async fn a_read_that_has_no_connection_yet_is_dropped_with_its_caller() {
        let (_folder, db) = open().await;
        let mut held = Vec::new();
        while let Ok(Ok(session)) = timeout(Duration::from_millis(50), db.reader()).await {
            held.push(session);
        }
        let runs = Arc::new(AtomicU32::new(0));
        let waits = db.read(Flaky { runs: Arc::clone(&runs), failures: 0, error: gone });
        assert!(timeout(Duration::from_millis(50), waits).await.is_err());
        held.clear();
        let other = Flaky { runs: Arc::default(), failures: 0, error: gone };
        assert!(matches!(db.read(other).await, Ok(1)));
        assert_eq!(runs.load(Ordering::SeqCst), 0);
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
