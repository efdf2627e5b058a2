//! Transactions on nodes of Galera.
//!
//! A node takes a transaction back for the sake of another node's change of the same rows. It says so in its answer to the next
//! command (`dispatch_command` in `sql/sql_parse.cc` of MariaDB), but some, such as those that prepare and close a statement, have no
//! room for that in theirs. Then nobody is told, and the COMMIT of nothing succeeds. So a transaction begins with a savepoint, which is
//! lost with it and is released before the COMMIT; the answer to that has room. A loss after it is told by the COMMIT, which is the
//! next command. Without autocommit a statement that comes after the loss does not take effect by itself.
//!
//! A node answers a COMMIT once all nodes have the change, and the others apply it when they come to it. Until then their transactions
//! see the rows as they were, and lock them; writes among these are refused at their COMMIT, but one that only looks is not. So a
//! transaction on whose look something depends begins after a wait for what was there before it (`wsrep_sync_wait`).

use std::sync::Arc;
use std::time::Duration;

use sea_query::{Expr, Query};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Session;
use crate::db::error::DbError;
use crate::db::row::Columns;

/// The savepoint at the beginning of a transaction.
const ROLLBACK_CHECK: &str = "galera_rollback_check";

/// The bit of `wsrep_sync_wait` that has the beginnings of transactions wait.
const WAIT_TO_READ: i64 = 1;

/// How long a server may take to give a connection back its autocommit.
const RESTORE_LIMIT: Duration = Duration::from_secs(5);

impl Session {
    /// As [`Self::begin`], for a transaction that writes.
    pub(super) async fn begin_on_galera(&mut self) -> Result<(), DbError> {
        self.open = true;
        if !self.is_autocommit_off {
            self.is_autocommit_off = true;
            self.send("SET autocommit = 0").await?;
        }
        self.send("START TRANSACTION").await?;
        self.send(format!("SAVEPOINT {ROLLBACK_CHECK}")).await?;
        self.has_savepoint = true;
        Ok(())
    }

    /// As [`Self::begin_on_galera`], once this node has applied all that any node had committed before. A wait that takes the node too
    /// long fails as one for a lock does.
    pub(super) async fn begin_caught_up_on_galera(&mut self) -> Result<(), DbError> {
        // A number: a proxy that has to understand such settings, as ProxySQL does, need not keep the connection for us.
        let query = Query::select().expr(Expr::cust("CAST(@@SESSION.wsrep_sync_wait AS SIGNED)")).take();
        let usual = self.rows_of_one(&query, |row| Columns::of(row).integer()).await?.first().copied().unwrap_or(0);
        let wanted = usual | WAIT_TO_READ;
        if wanted == usual {
            return self.begin_on_galera().await;
        }
        // Unless it becomes again as it was, the connection is closed.
        self.open = true;
        self.send(format!("SET SESSION wsrep_sync_wait = {wanted}")).await?;
        self.begin_on_galera().await?;
        self.send(format!("SET SESSION wsrep_sync_wait = {usual}")).await
    }

    /// To be called before the COMMIT of a transaction: fails if it has been taken back unseen. Nothing but the COMMIT may follow.
    pub(in crate::db) async fn ensure_whole(&mut self) -> Result<(), DbError> {
        if self.has_savepoint {
            self.send(format!("RELEASE SAVEPOINT {ROLLBACK_CHECK}")).await?;
            self.has_savepoint = false;
        }
        Ok(())
    }

    /// What a failure in the open transaction was. In one that has been taken back unseen, statements fail because those before them
    /// are gone.
    pub(in crate::db) async fn explain(&mut self, error: DbError) -> DbError {
        if self.busy {
            return error;
        }
        match self.ensure_whole().await {
            // An answer that did not come may have been that one.
            Err(lost @ (DbError::Contention { .. } | DbError::Unreachable(_))) => lost,
            _ => error,
        }
    }

    /// Makes the connection what it was before a transaction on a node of Galera.
    pub(super) async fn restore_autocommit(&mut self) -> Result<(), DbError> {
        if self.is_autocommit_off && !self.open {
            self.send("SET autocommit = 1").await?;
            self.is_autocommit_off = false;
        }
        Ok(())
    }

    /// Gives the connection back as it was, or closes it if that fails. Nobody waits for it: whoever has committed has its answer.
    pub(super) fn restore_later(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return self.close() };
        let Some(link) = self.link.take() else { return };
        let mut session = Self::new(link, self.traits, None, Arc::clone(&self.answers));
        session.is_autocommit_off = true;
        // In doubt until then, also if the runtime ends first.
        session.busy = true;
        runtime.spawn(async move {
            if !matches!(timeout(RESTORE_LIMIT, session.restore_autocommit()).await, Ok(Ok(()))) {
                session.close();
            }
        });
    }
}
