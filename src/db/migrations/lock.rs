//! One program at a time changes the tables, on however many hosts it was started.

use std::time::Duration;

use sea_query::{Expr, Query};
use tokio::time::{Instant, sleep};

use super::{Observer, Progress};
use crate::db::dialect::Dialect;
use crate::db::error::{DbError, SchemaError};
use crate::db::row::Columns;
use crate::db::session::{Session, Transaction};

/// How long somebody else's work is waited for.
const LIMIT: Duration = Duration::from_secs(600);
/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// SQLite's lock is the transaction that writes. It waits a few seconds by itself.
pub(super) async fn begin(session: &mut Session, observe: Observer<'_>) -> Result<(), DbError> {
    let mut wait = Wait::new(observe);
    loop {
        match session.begin(Transaction::Write).await {
            Err(DbError::Contention { .. }) => {
                session.rollback().await;
                wait.pause().await?;
            }
            done => return done,
        }
    }
}

/// A lock of the session, which ends with the connection at the latest. It is asked for again and again: a session of PostgreSQL
/// that waits for it would keep `CREATE INDEX CONCURRENTLY` of the one that has it from ending.
pub(super) async fn take(session: &mut Session, observe: Observer<'_>) -> Result<(), DbError> {
    // The next statement may have another session of the server, and the lock would stay with this one.
    if session.is_pooled() {
        return Ok(());
    }
    let mut wait = Wait::new(observe);
    loop {
        match session
            .row(&question(session.dialect(), "pg_try_advisory_lock", "GET_LOCK", ", 0"), |row| {
                Columns::of(row).maybe_integer()
            })
            .await
        {
            Ok(Some(Some(1))) => return Ok(()),
            // A cluster may have no such locks (Galera). All that is done on MySQL can be done twice.
            Err(DbError::Statement(_)) if session.dialect() == Dialect::MySql => return Ok(()),
            done => done.map(drop)?,
        }
        wait.pause().await?;
    }
}

/// A lock that cannot be given back ends with the connection.
pub(super) async fn release(session: &mut Session) {
    if session.is_pooled() {
        return;
    }
    let question = question(session.dialect(), "pg_advisory_unlock", "RELEASE_LOCK", "");
    let _ = session.row(&question, |_| Ok(())).await;
}

/// PostgreSQL's locks belong to a database, MySQL's to the server.
fn question(dialect: Dialect, postgres: &str, mysql: &str, more: &str) -> sea_query::SelectStatement {
    let call = match dialect {
        // «glance» in ASCII.
        Dialect::Postgres => format!("CAST({postgres}(113715188753253) AS integer)"),
        _ => format!("{mysql}(CONCAT('glance ', LEFT(DATABASE(), 50)){more})"),
    };
    Query::select().expr(Expr::cust(call)).take()
}

struct Wait<'a> {
    until: Instant,
    is_told: bool,
    observe: Observer<'a>,
}

impl<'a> Wait<'a> {
    fn new(observe: Observer<'a>) -> Self {
        Self { until: Instant::now() + LIMIT, is_told: false, observe }
    }

    async fn pause(&mut self) -> Result<(), DbError> {
        if !self.is_told {
            (self.observe)(Progress::Waiting);
            self.is_told = true;
        }
        if Instant::now() >= self.until {
            return Err(SchemaError::Locked(LIMIT).into());
        }
        sleep(PAUSE).await;
        Ok(())
    }
}
