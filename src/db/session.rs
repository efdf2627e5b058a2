//! One borrowed connection: runs statements, and never goes back to the pool in doubt.

mod galera;

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_query::{Value, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, PgConnection, SqlStr, SqliteConnection};
use tokio::time::timeout;

use super::cipher::LocationCipher;
use super::clock;
use super::dialect::Dialect;
use super::error::DbError;
use super::failure::Cause;
use super::pool::Pooled;
use super::row::Row;
use super::statement::Statement;

/// A connection of the pool, perhaps in a transaction.
///
/// Dropped in the middle of a statement or of a transaction (the caller gave up, or time ran out), the connection is
/// closed instead of being reused, so that the server rolls back and no lock stays behind.
pub(super) struct Session {
    link: Option<Link>,
    /// A transaction is open.
    open: bool,
    /// The open transaction has the savepoint that shows whether it was taken back; see [`galera`].
    has_savepoint: bool,
    /// A statement outside of a transaction would not take effect by itself.
    is_autocommit_off: bool,
    /// A statement has been sent and not been answered.
    busy: bool,
    damage: Option<Damage>,
    traits: Traits,
    cipher: Option<Arc<LocationCipher>>,
    /// Counts the statements that were answered.
    answers: Arc<AtomicU64>,
}

/// What became of a connection that cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Broken,
    /// It works, but its server does not serve.
    Unfit,
}

/// What must be known of the way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// A pooler may give each transaction another connection, on which nothing stays prepared.
    pub(super) is_pooled: bool,
    /// How long an answer may take.
    pub(super) answer: Option<Duration>,
    /// MySQL refuses a value that it cannot store as it is. In some of its modes it stores what is left of it.
    pub(super) is_strict: bool,
    /// A node of Galera may take a transaction back for the sake of another node's, and not say so.
    pub(super) is_galera: bool,
}

pub(super) enum Link {
    Sqlite(Pooled<SqliteConnection>),
    Postgres(Pooled<PgConnection>),
    MySql(Pooled<MySqlConnection>),
}

/// The connection of a [`Link`], borrowed.
enum Wire<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
    MySql(&'a mut MySqlConnection),
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    /// Queries that stay on one connection, behind a pooler.
    Read,
    /// Several queries that see one state of the database.
    Snapshot,
    Write,
    /// As [`Self::Write`], and it sees all that any node of a cluster had committed before.
    CaughtUp,
}

impl Session {
    pub(super) fn new(
        link: Link,
        traits: Traits,
        cipher: Option<Arc<LocationCipher>>,
        answers: Arc<AtomicU64>,
    ) -> Self {
        Self {
            link: Some(link),
            open: false,
            has_savepoint: false,
            is_autocommit_off: false,
            busy: false,
            damage: None,
            traits,
            cipher,
            answers,
        }
    }

    /// Whether even one query must be in a transaction; see [`Traits::is_pooled`].
    pub(super) fn is_pooled(&self) -> bool {
        self.traits.is_pooled
    }

    /// Whether what was written can be told without reading it, but for fractions of a second on MySQL.
    pub(super) fn stores_as_given(&self) -> bool {
        self.traits.is_strict || self.dialect() != Dialect::MySql
    }

    /// Whether a comparison may find a text that is not the same: MySQL's collation takes `A` for `a`, and ignores blanks at the end.
    pub(super) fn takes_for_equal(&self) -> bool {
        self.dialect() == Dialect::MySql
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.open
    }

    /// The URL of a location as it is to be stored.
    pub(super) fn seal(&self, url: &str) -> String {
        match &self.cipher {
            Some(cipher) => cipher.seal(url),
            None => url.to_owned(),
        }
    }

    /// The URL of a location from what is stored.
    pub(super) fn unseal(&self, stored: String) -> Result<String, DbError> {
        match &self.cipher {
            Some(cipher) => cipher.open(&stored),
            None => Ok(stored),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.link {
            Some(Link::Postgres(_)) => Dialect::Postgres,
            Some(Link::MySql(_)) => Dialect::MySql,
            Some(Link::Sqlite(_)) | None => Dialect::Sqlite,
        }
    }

    pub(super) async fn begin(&mut self, kind: Transaction) -> Result<(), DbError> {
        match kind {
            Transaction::Write if self.traits.is_galera => return self.begin_on_galera().await,
            Transaction::CaughtUp if self.traits.is_galera => return self.begin_caught_up_on_galera().await,
            _ => {}
        }
        self.restore_autocommit().await?;
        self.open = true;
        let sql = match (self.dialect(), kind) {
            (Dialect::Sqlite, Transaction::Read | Transaction::Snapshot) => "BEGIN",
            // Takes the write lock now, when waiting for it is possible; a later upgrade would fail instead of wait.
            (Dialect::Sqlite, Transaction::Write | Transaction::CaughtUp) => "BEGIN IMMEDIATE",
            (Dialect::Postgres, Transaction::Read) => "BEGIN READ ONLY",
            (Dialect::MySql, Transaction::Read) => "START TRANSACTION READ ONLY",
            // Plans look at the values again, as PostgreSQL's own default has it.
            (Dialect::Postgres, Transaction::Snapshot) => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SELECT set_config('plan_cache_mode', 'auto', true) \
                 WHERE current_setting('plan_cache_mode', true) IS NOT NULL"
            }
            (Dialect::Postgres, Transaction::Write | Transaction::CaughtUp) => "BEGIN",
            (Dialect::MySql, Transaction::Snapshot) => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            (Dialect::MySql, Transaction::Write | Transaction::CaughtUp) => "START TRANSACTION",
        };
        self.send(sql).await
    }

    /// Ends the session well: commits if a transaction is open.
    pub(super) async fn finish(mut self) -> Result<(), DbError> {
        self.commit().await
    }

    /// Commits if a transaction is open, and goes on without one.
    pub(super) async fn commit(&mut self) -> Result<(), DbError> {
        if self.open {
            self.ensure_whole().await?;
            self.send("COMMIT").await?;
            self.open = false;
        }
        Ok(())
    }

    /// Ends the session after a failure. A connection that cannot even roll back is closed.
    pub(super) async fn abandon(mut self) {
        self.rollback().await;
    }

    /// Takes back what the open transaction has done, and goes on without one if that is possible.
    pub(super) async fn rollback(&mut self) {
        if self.open && !self.busy && self.send("ROLLBACK").await.is_ok() {
            self.open = false;
            self.has_savepoint = false;
        }
    }

    /// Runs a statement without parameters; for several at once, separated by semicolons. It is not prepared, so that it can also be
    /// one that must not be in a transaction. The text must be the program's own.
    pub(super) async fn plain(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<(), DbError> {
        self.restore_autocommit().await?;
        self.send(sql).await
    }

    async fn send(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<(), DbError> {
        self.busy = true;
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.into().into_owned()));
        let Traits { answer, .. } = self.traits;
        let done = match self.link()? {
            Wire::Sqlite(link) => sql.execute(link).await.map(drop),
            Wire::Postgres(link) => sql.execute(link).await.map(drop),
            Wire::MySql(link) => within(answer, sql.execute(link)).await.map(drop),
        };
        self.settle(done)
    }

    /// Makes ready for a single statement: behind a pooler, begins a transaction for it, unless one is open. Returns whether it did.
    async fn begin_for_one(&mut self) -> Result<bool, DbError> {
        self.restore_autocommit().await?;
        let is_needed = self.traits.is_pooled && !self.open;
        if is_needed {
            self.begin(Transaction::Write).await?;
        }
        Ok(is_needed)
    }

    /// Ends the transaction of [`Self::begin_for_one`].
    async fn end_for_one<T>(&mut self, has_begun: bool, done: Result<T, DbError>) -> Result<T, DbError> {
        match (has_begun, &done) {
            (true, Ok(_)) => self.commit().await?,
            (true, Err(_)) => self.rollback().await,
            (false, _) => {}
        }
        done
    }

    /// Runs a statement and says how many rows it matched.
    pub(super) async fn execute<S: Statement>(&mut self, statement: &S) -> Result<u64, DbError> {
        let has_begun = self.begin_for_one().await?;
        let done = self.execute_one(statement).await;
        self.end_for_one(has_begun, done).await
    }

    /// Text and values, unless there are more values than a message to PostgreSQL holds. Its driver says so before it sends anything, in
    /// words that stand for a broken connection otherwise.
    fn render<S: Statement>(&self, statement: &S) -> Result<(SqlStr, Values), DbError> {
        let dialect = self.dialect();
        let (sql, values) = statement.render(dialect);
        let count = values.0.len();
        if dialect == Dialect::Postgres && u16::try_from(count).is_err() {
            let words = format!("{count} values in one statement");
            return Err(DbError::Statement(sqlx::Error::InvalidArgument(words).into()));
        }
        Ok((sql, values))
    }

    async fn execute_one<S: Statement>(&mut self, statement: &S) -> Result<u64, DbError> {
        let (sql, values) = self.render(statement)?;
        self.busy = true;
        let Traits { is_pooled, answer, .. } = self.traits;
        let done = match self.link()? {
            Wire::Sqlite(link) => {
                link.execute(sqlx::query_with(sql, with_text_times(values))).await.map(|done| done.rows_affected())
            }
            Wire::Postgres(link) => {
                let query = sqlx::query_with(sql, SqlxValues(values)).persistent(!is_pooled);
                link.execute(query).await.map(|done| done.rows_affected())
            }
            Wire::MySql(link) => {
                let query = sqlx::query_with(sql, SqlxValues(values));
                within(answer, link.execute(query)).await.map(|done| done.rows_affected())
            }
        };
        self.count(done)
    }

    /// Runs a query and reads each of its rows. The caller bounds the number of rows by the query itself.
    pub(super) async fn rows<S, T, F>(&mut self, statement: &S, read: F) -> Result<Vec<T>, DbError>
    where
        S: Statement,
        F: FnMut(&dyn Row) -> Result<T, DbError>,
    {
        let has_begun = self.begin_for_one().await?;
        let done = self.rows_of_one(statement, read).await;
        self.end_for_one(has_begun, done).await
    }

    async fn rows_of_one<S, T, F>(&mut self, statement: &S, read: F) -> Result<Vec<T>, DbError>
    where
        S: Statement,
        F: FnMut(&dyn Row) -> Result<T, DbError>,
    {
        let (sql, values) = self.render(statement)?;
        self.busy = true;
        let is_kept = statement.is_kept();
        let Traits { is_pooled, answer, .. } = self.traits;
        match self.link()? {
            Wire::Sqlite(link) => {
                let query = sqlx::query_with(sql, with_text_times(values)).persistent(is_kept);
                let rows = link.fetch_all(query).await;
                read_all(&self.count(rows)?, |row| row, read)
            }
            Wire::Postgres(link) => {
                let query = sqlx::query_with(sql, SqlxValues(values)).persistent(is_kept && !is_pooled);
                let rows = link.fetch_all(query).await;
                read_all(&self.count(rows)?, |row| row, read)
            }
            Wire::MySql(link) => {
                let query = sqlx::query_with(sql, SqlxValues(values)).persistent(is_kept);
                let rows = within(answer, link.fetch_all(query)).await;
                read_all(&self.count(rows)?, |row| row, read)
            }
        }
    }

    /// As [`Session::rows`], for a query that gives at most one row.
    pub(super) async fn row<S, T, F>(&mut self, statement: &S, read: F) -> Result<Option<T>, DbError>
    where
        S: Statement,
        F: FnMut(&dyn Row) -> Result<T, DbError>,
    {
        Ok(self.rows(statement, read).await?.into_iter().next())
    }

    fn link(&mut self) -> Result<Wire<'_>, DbError> {
        let wire = match self.link.as_mut() {
            Some(Link::Sqlite(link)) => link.get().map(Wire::Sqlite),
            Some(Link::Postgres(link)) => link.get().map(Wire::Postgres),
            Some(Link::MySql(link)) => link.get().map(Wire::MySql),
            None => None,
        };
        wire.ok_or(DbError::Interrupted)
    }

    /// As [`Self::settle`], of a statement that the database itself has answered: a pooler may answer a BEGIN.
    fn count<T>(&mut self, done: Result<T, sqlx::Error>) -> Result<T, DbError> {
        let done = self.settle(done)?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(done)
    }

    /// The answer is here; after a broken connection the session stays busy, and is closed when dropped.
    fn settle<T>(&mut self, done: Result<T, sqlx::Error>) -> Result<T, DbError> {
        if let Err(error) = &done {
            self.damage = match Cause::of(error) {
                Cause::Disconnect => Some(Damage::Broken),
                Cause::Unfit => Some(Damage::Unfit),
                _ => None,
            };
            if self.damage.is_some() {
                return done.map_err(DbError::from);
            }
        }
        self.busy = false;
        Ok(done?)
    }

    /// Closes the connection instead of giving it back.
    fn close(&mut self) {
        fn close<C: sqlx::Connection>(link: Pooled<C>, damage: Option<Damage>) {
            match damage {
                None => link.discard(),
                Some(Damage::Broken) => link.discard_broken(),
                Some(Damage::Unfit) => link.discard_unfit(),
            }
        }
        match self.link.take() {
            Some(Link::Sqlite(link)) => close(link, self.damage),
            Some(Link::Postgres(link)) => close(link, self.damage),
            Some(Link::MySql(link)) => close(link, self.damage),
            None => {}
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open || self.busy {
            self.close();
        } else if self.is_autocommit_off {
            self.restore_later();
        }
    }
}

/// The answer, if it comes in time. One that comes later cannot be told from that of another statement: the connection is lost.
async fn within<T>(
    limit: Option<Duration>,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(limit) = limit else { return answer.await };
    timeout(limit, answer).await.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

fn read_all<R, T>(
    rows: &[R],
    as_row: fn(&R) -> &dyn Row,
    mut read: impl FnMut(&dyn Row) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    rows.iter().map(|row| read(as_row(row))).collect()
}

/// SQLite has no type for times: they are text, and the driver's own form drops trailing zeros, which breaks the order.
fn with_text_times(mut values: Values) -> SqlxValues {
    for value in &mut values.0 {
        if let Value::TimeDateTime(time) = value {
            *value = Value::String(time.map(clock::to_text));
        }
    }
    SqlxValues(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_a_lost_connection() {
        let late = within(Some(Duration::from_millis(10)), std::future::pending::<Result<(), _>>()).await;
        assert_eq!(Cause::of(&late.unwrap_err()), Cause::Disconnect);
        for limit in [None, Some(Duration::from_secs(60))] {
            assert_eq!(within(limit, async { Ok(7) }).await.unwrap(), 7);
        }
    }
}
