//! Connections that are kept for the next operation.
//!
//! Unlike sqlx's own pool, this one does not ask the server after each use whether the connection still works, which is one
//! more way there and back for each operation; it says why no connection can be made, at once; and it tells waiting for a
//! permit apart from having one, so that the work of a caller who has gone can be brought to an end without losing its connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::admission::{Admission, NotAdmitted, Permit};
use super::connector::{Connected, Connector};

mod admission;

/// How long a server may take to say that a connection works, or to close it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Limits {
    /// Connections that are open at a time.
    pub(super) connections: usize,
    /// How long to wait for one of them.
    pub(super) wait: Duration,
    /// A connection that has been idle for longer is tried before it is used; `None`: it cannot break.
    pub(super) trusted_idle: Option<Duration>,
    /// Connections that are kept however long nobody uses them, and that are enough as long as operations are short; see [`admission`].
    pub(super) kept: usize,
    /// [`Pool::trim`] closes the others after so much idle time; `None`: never.
    pub(super) idle: Option<Duration>,
    /// A connection is used for this long at most.
    pub(super) age: Option<Duration>,
}

/// Cheap to clone; all clones share the connections.
pub(super) struct Pool<C: Connection>(Arc<Shared<C>>);

struct Shared<C: Connection> {
    connector: Arc<dyn Connector<C>>,
    limits: Limits,
    admission: Arc<Admission>,
    /// The last one that was given back is at the end, and used first.
    idle: Mutex<Vec<Idle<C>>>,
    /// More are idle than are to be kept, and [`Pool::trim`] will close them some time.
    has_surplus: watch::Sender<bool>,
}

struct Idle<C> {
    connection: C,
    server: usize,
    made: Instant,
    since: Instant,
    /// To be tried before it is used, however short the time.
    is_suspect: bool,
}

/// The right to one connection.
pub(super) struct Admitted<C: Connection> {
    shared: Arc<Shared<C>>,
    permit: Permit,
}

/// A connection in use. It goes back to the pool when dropped.
pub(super) struct Pooled<C: Connection + 'static> {
    connection: Option<C>,
    server: usize,
    made: Instant,
    shared: Arc<Shared<C>>,
    // After the connection, which must be back when somebody else gets it.
    _permit: Permit,
}

impl<C: Connection> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Connection + 'static> Pool<C> {
    pub(super) fn new(connector: Arc<dyn Connector<C>>, limits: Limits) -> Self {
        let admission = Arc::new(Admission::new(limits.kept, limits.connections));
        let (idle, has_surplus) = (Mutex::default(), watch::Sender::new(false));
        Self(Arc::new(Shared { connector, limits, admission, idle, has_surplus }))
    }

    /// Waits until a connection may be used. To stop waiting costs nothing. `writes`: what is done with it ends with a commit.
    pub(super) async fn admit(&self, writes: bool) -> Result<Admitted<C>, sqlx::Error> {
        let permit = self.0.admission.wait(self.0.limits.wait, writes).await.map_err(of_refusal)?;
        Ok(Admitted { shared: Arc::clone(&self.0), permit })
    }

    /// As [`Self::admit`], but where all connections are in use it is one beside them, for one caller at a time: for questions whose
    /// answer must not depend on how much there is to do. To stop waiting costs nothing.
    pub(super) async fn admit_beside(&self) -> Result<Admitted<C>, sqlx::Error> {
        let permit = self.0.admission.beside().await.map_err(of_refusal)?;
        Ok(Admitted { shared: Arc::clone(&self.0), permit })
    }

    /// Closes the connections that are not needed any more. The pool does not do so by itself: a program that runs for long calls this
    /// from time to time while there is a surplus.
    pub(super) async fn trim(&self) {
        for idle in self.0.take_surplus() {
            disconnect(idle.connection).await;
        }
    }

    /// Waits until there are connections for [`Self::trim`], now or once they have been idle for long enough.
    pub(super) async fn wait_for_surplus(&self) {
        // The sender is this pool's, so there is no error.
        let _ = self.0.has_surplus.subscribe().wait_for(|has_surplus| *has_surplus).await;
    }

    /// Waits until nobody uses a connection, and closes all of them.
    pub(super) async fn close(&self) {
        self.0.admission.close(self.0.limits.wait).await;
        while let Some(idle) = self.0.take() {
            disconnect(idle.connection).await;
        }
    }

    #[cfg(test)]
    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

impl<C: Connection + 'static> Admitted<C> {
    /// A connection that was idle, or a new one.
    ///
    /// # Errors
    /// Why none can be made.
    pub(super) async fn connection(self) -> Result<Pooled<C>, sqlx::Error> {
        let limits = &self.shared.limits;
        while let Some(mut idle) = self.shared.take() {
            if limits.age.is_some_and(|age| idle.made.elapsed() > age) {
                tokio::spawn(disconnect(idle.connection));
                continue;
            }
            let is_trusted = limits.trusted_idle.is_none_or(|time| !idle.is_suspect && idle.since.elapsed() < time);
            if is_trusted || matches!(timeout(ANSWER_LIMIT, idle.connection.ping()).await, Ok(Ok(()))) {
                return Ok(self.with(idle.connection, idle.server, idle.made));
            }
        }
        let Connected { connection, server } = self.shared.connector.connect().await?;
        Ok(self.with(connection, server, Instant::now()))
    }

    fn with(mut self, connection: C, server: usize, made: Instant) -> Pooled<C> {
        self.permit.begin();
        Pooled { connection: Some(connection), server, made, shared: self.shared, _permit: self.permit }
    }
}

impl<C: Connection + 'static> Shared<C> {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle<C>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Idle<C>> {
        self.idle().pop()
    }

    /// Takes out those above the ones to keep that have been idle for longer than the limit; they stand at the beginning.
    fn take_surplus(&self) -> Vec<Idle<C>> {
        let Some(limit) = self.limits.idle else { return Vec::new() };
        let mut idle = self.idle();
        let above = idle.len().saturating_sub(self.limits.kept);
        let old = idle.iter().take(above).take_while(|idle| idle.since.elapsed() >= limit).count();
        let surplus = idle.drain(..old).collect();
        if old == above {
            // While nobody gives one back.
            self.has_surplus.send_replace(false);
        }
        surplus
    }
}

impl<C: Connection + 'static> Pooled<C> {
    /// `None` never: only being dropped takes the connection away.
    pub(super) fn get(&mut self) -> Option<&mut C> {
        self.connection.as_mut()
    }

    /// Drops the connection instead of giving it back. What the server then ends is rolled back.
    pub(super) fn discard(mut self) {
        self.connection = None;
    }

    /// As [`Self::discard_broken`], for a server that says that it cannot serve.
    pub(super) fn discard_unfit(self) {
        self.shared.connector.avoid(self.server);
        self.discard_broken();
    }

    /// As [`Self::discard`], for a connection that broke: the others are tried before they are used again.
    pub(super) fn discard_broken(self) {
        for idle in self.shared.idle().iter_mut() {
            idle.is_suspect = true;
        }
        self.discard();
    }
}

impl<C: Connection + 'static> Drop for Pooled<C> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.shared.admission.is_closed() {
            return;
        }
        let count = {
            let mut idle = self.shared.idle();
            idle.push(Idle {
                connection,
                server: self.server,
                made: self.made,
                since: Instant::now(),
                is_suspect: false,
            });
            idle.len()
        };
        if count > self.shared.limits.kept && self.shared.limits.idle.is_some() {
            self.shared.has_surplus.send_if_modified(|has_surplus| !std::mem::replace(has_surplus, true));
        }
    }
}

fn of_refusal(error: NotAdmitted) -> sqlx::Error {
    match error {
        NotAdmitted::TimedOut => sqlx::Error::PoolTimedOut,
        NotAdmitted::Closed => sqlx::Error::PoolClosed,
    }
}

/// Closes a connection that works as far as is known. A server that does not answer finds out by itself.
async fn disconnect<C: Connection>(connection: C) {
    let _ = timeout(ANSWER_LIMIT, connection.close()).await;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use sqlx::SqliteConnection;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    fn pool(connections: usize, idle: Option<Duration>, age: Option<Duration>) -> Pool<SqliteConnection> {
        let options = SqliteConnectOptions::new().in_memory(true);
        let (wait, trusted_idle) = (Duration::from_millis(200), Some(Duration::from_secs(5)));
        Pool::new(Arc::new(options), Limits { connections, wait, trusted_idle, kept: 2, idle, age })
    }

    async fn get(pool: &Pool<SqliteConnection>) -> Pooled<SqliteConnection> {
        pool.admit(true).await.unwrap().connection().await.unwrap()
    }

    /// Each database in memory belongs to one connection.
    async fn mark(connection: &mut Pooled<SqliteConnection>) -> i64 {
        let connection = connection.get().unwrap();
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master").fetch_one(&mut *connection).await.unwrap();
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS mark (n)").execute(&mut *connection).await.unwrap();
        count
    }

    #[tokio::test]
    async fn a_connection_is_used_again_unless_it_was_discarded_or_is_too_old() {
        let one = pool(1, None, None);
        for expected in [0, 1, 1] {
            assert_eq!(mark(&mut get(&one).await).await, expected);
        }
        get(&one).await.discard();
        assert_eq!(mark(&mut get(&one).await).await, 0);
        let short_lived = pool(1, None, Some(Duration::ZERO));
        for expected in [0, 0] {
            assert_eq!(mark(&mut get(&short_lived).await).await, expected);
        }
    }

    #[tokio::test]
    async fn after_a_break_the_others_are_tried_first() {
        let two = pool(2, None, None);
        let (first, second) = (get(&two).await, get(&two).await);
        drop(first);
        second.discard_broken();
        assert!(two.0.idle()[0].is_suspect);
        drop(get(&two).await);
        assert!(!two.0.idle()[0].is_suspect);
    }

    #[tokio::test]
    async fn no_more_than_allowed_and_none_once_closed() {
        let one = pool(1, None, None);
        let held = get(&one).await;
        assert!(matches!(one.admit(true).await, Err(sqlx::Error::PoolTimedOut)));
        drop(held);
        drop(get(&one).await);
        one.close().await;
        assert!(matches!(one.admit(true).await, Err(sqlx::Error::PoolClosed)));
    }

    #[tokio::test]
    async fn one_more_for_questions_that_do_not_wait_for_the_others() {
        let one = pool(1, None, None);
        let beside = async || one.admit_beside().await.unwrap().connection().await.unwrap();
        let free = beside().await;
        assert!(one.admit(true).await.is_err(), "it took the only permit");
        let more = beside().await;
        assert!(timeout(Duration::from_millis(50), one.admit_beside()).await.is_err(), "one at a time");
        drop(more);
        drop(beside().await);
        drop(free);
        one.close().await;
        assert!(matches!(one.admit_beside().await, Err(sqlx::Error::PoolClosed)));
    }

    /// How many connections are idle, once those that are to be closed have been.
    async fn idle_after_trimming(pool: &Pool<SqliteConnection>) -> usize {
        pool.trim().await;
        pool.0.idle().len()
    }

    async fn give_back(pool: &Pool<SqliteConnection>, count: usize) {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(get(pool).await);
        }
    }

    #[tokio::test]
    async fn what_is_idle_too_long_is_closed_but_those_to_keep() {
        let many = pool(5, Some(Duration::ZERO), None);
        give_back(&many, 2).await;
        assert!(many.wait_for_surplus().now_or_never().is_none(), "these are kept");
        give_back(&many, 5).await;
        many.wait_for_surplus().now_or_never().unwrap();
        assert_eq!(idle_after_trimming(&many).await, 2);
        assert!(many.wait_for_surplus().now_or_never().is_none(), "nothing is left to do");
    }

    #[tokio::test]
    async fn what_was_just_used_is_closed_another_time() {
        let many = pool(5, Some(Duration::from_secs(3600)), None);
        give_back(&many, 5).await;
        assert_eq!(idle_after_trimming(&many).await, 5);
        many.wait_for_surplus().now_or_never().unwrap();
        let forever = pool(5, None, None);
        give_back(&forever, 5).await;
        assert_eq!(idle_after_trimming(&forever).await, 5);
        assert!(forever.wait_for_surplus().now_or_never().is_none());
    }
}
