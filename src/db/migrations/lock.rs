//! One program at a time changes the tables, on however many hosts it was started.

use std::time::Duration;

use sea_query::{Expr, Query, SelectStatement};
use tokio::time::{Instant, sleep, timeout};

use super::{Observer, Progress};
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::{DbError, SchemaError};
use crate::db::row::Columns;
use crate::db::session::{Session, Transaction};

/// How long somebody else's work is waited for.
const LIMIT: Duration = Duration::from_secs(600);
/// How long a second connection is waited for behind a pooler.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);
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

/// A lock of the database, which ends with its connection at the latest.
pub(super) struct Lock {
    /// Behind a pooler the next statement may have another session of the server, and a lock would stay with this one. There, a
    /// transaction on a connection of its own holds the lock. It keeps nobody waiting: it looks at no row.
    holder: Option<Session>,
}

impl Lock {
    /// It is asked for again and again: a session of PostgreSQL that waits for it would keep `CREATE INDEX CONCURRENTLY` of the
    /// one that has it from ending.
    pub(super) async fn take(db: &Db, session: &mut Session, observe: Observer<'_>) -> Result<Self, DbError> {
        let mut wait = Wait::new(observe);
        if !session.is_pooled() {
            let call = question(session.dialect(), "pg_try_advisory_lock", "GET_LOCK", ", 0");
            while !ask(session, &call).await? {
                wait.pause().await?;
            }
            return Ok(Self { holder: None });
        }
        let call = question(session.dialect(), "pg_try_advisory_xact_lock", "GET_LOCK", ", 0");
        loop {
            let mut holder = match db.writer().await {
                Err(DbError::Unreachable(failure)) if failure.is_of_pool() => {
                    return Err(SchemaError::OneConnection.into());
                }
                holder => holder?,
            };
            holder.begin(Transaction::Write).await?;
            // It is silent for as long as the work takes.
            if session.dialect() == Dialect::Postgres {
                holder.plain("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
            }
            if ask(&mut holder, &call).await? {
                return Self::beside(holder, session).await;
            }
            holder.abandon().await;
            wait.pause().await?;
        }
    }

    /// The work needs a connection of the server beside the one that has the lock. A pooler that has no other would keep it waiting
    /// for ever.
    async fn beside(holder: Session, session: &mut Session) -> Result<Self, DbError> {
        let error = match timeout(CONNECTION_LIMIT, session.plain("SELECT 1")).await {
            Ok(Ok(())) => return Ok(Self { holder: Some(holder) }),
            Ok(Err(error)) => error,
            Err(_) => SchemaError::OneConnection.into(),
        };
        holder.abandon().await;
        Err(error)
    }

    /// A lock that cannot be given back ends with the connection.
    pub(super) async fn release(self, session: &mut Session) {
        let Some(holder) = self.holder else {
            let call = question(session.dialect(), "pg_advisory_unlock", "RELEASE_LOCK", "");
            let _ = session.row(&call, |_| Ok(())).await;
            return;
        };
        let _ = holder.finish().await;
    }
}

/// Whether the lock was free.
async fn ask(session: &mut Session, question: &SelectStatement) -> Result<bool, DbError> {
    match session.row(question, |row| Columns::of(row).maybe_integer()).await {
        Ok(Some(Some(1))) => Ok(true),
        // A cluster may have no such locks (Galera). All that is done on MySQL can be done twice.
        Err(DbError::Statement(_)) if session.dialect() == Dialect::MySql => Ok(true),
        done => done.map(|_| false),
    }
}

/// PostgreSQL's locks belong to a database, MySQL's to the server.
fn question(dialect: Dialect, postgres: &str, mysql: &str, more: &str) -> SelectStatement {
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
