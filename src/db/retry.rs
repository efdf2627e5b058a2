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
pub(super) trait UnitOfWork: Send + Sync {
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
    pub(super) async fn read<W: UnitOfWork + 'static>(&self, work: W) -> Result<W::Output, DbError> {
        self.finish(work, Access::Read).await
    }

    /// For several queries that must see the same state.
    pub(super) async fn snapshot<W: UnitOfWork + 'static>(&self, work: W) -> Result<W::Output, DbError> {
        self.finish(work, Access::Snapshot).await
    }

    /// For anything that writes: one transaction. It runs to its end even if the caller stops waiting, so that a client
    /// that goes away leaves neither a lock nor half a change.
    pub(super) async fn write<W: UnitOfWork + 'static>(&self, work: W) -> Result<W::Output, DbError>
    where
        W::Output: 'static,
    {
        let db = self.clone();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let work = async move { db.repeat(&work, Access::Write, &shared).await };
        match tokio::spawn(work.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(_) if progress.is_committing.load(Ordering::SeqCst) => Err(DbError::Interrupted.of_commit()),
            Err(_) => Err(DbError::Interrupted),
        }
    }

    /// If the caller stops waiting, an operation that has a connection runs to its end in the background, so that the
    /// connection is fit for the next one; the number of connections bounds such work. One that has none is dropped.
    fn finish<W: UnitOfWork + 'static>(&self, work: W, access: Access) -> Finish<Result<W::Output, DbError>> {
        let db = self.clone();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let work = async move {
            match (db.repeat(&work, access, &shared).await, db.replica_in_use()) {
                // What a replica does not know may only be new.
                (Err(error), Some((main, replica))) => {
                    replica.note(&error);
                    main.repeat(&work, access, &shared).await
                }
                (done, _) => done,
            }
        };
        Finish { work: Some(Box::pin(work.in_current_span())), progress }
    }

    async fn repeat<W: UnitOfWork>(&self, work: &W, access: Access, progress: &Progress) -> Result<W::Output, DbError> {
        let reconnects = Reconnects::of(self);
        let start = Instant::now();
        let deadline = start + OPERATION_LIMIT;
        let mut attempts = 0;
        let result = loop {
            let done = Box::pin(self.once(work, access, deadline, progress)).await;
            progress.has_connection.store(false, Ordering::SeqCst);
            work.left_queue();
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
            tracing::debug!(operation = W::NAME, attempts, %error, "database operation will be repeated");
            sleep(pause).await;
        };
        let taken = start.elapsed();
        if taken >= SLOW {
            let duration_ms = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(operation = W::NAME, attempts, duration_ms, "slow database operation");
        }
        result
    }

    async fn once<W: UnitOfWork>(
        &self,
        work: &W,
        access: Access,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<W::Output, DbError> {
        let work = timeout_at(deadline, self.until_commit(work, access, progress)).await;
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
    async fn until_commit<W: UnitOfWork>(
        &self,
        work: &W,
        access: Access,
        progress: &Progress,
    ) -> Result<(Session, W::Output), DbError> {
        let on_admission = || {
            progress.has_connection.store(true, Ordering::SeqCst);
            work.left_queue();
        };
        let mut session = self.session(access == Access::Write, on_admission).await?;
        match access {
            Access::Read if session.is_pooled() => session.begin(Transaction::Read).await?,
            Access::Read => {}
            Access::Snapshot => session.begin(Transaction::Snapshot).await?,
            Access::Write => session.begin(W::TRANSACTION).await?,
        }
        let error = match work.run(&mut session).await {
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
mod tests;
