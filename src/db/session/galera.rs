//! Transactions on nodes of Galera.
//!
//! A node takes a transaction back for the sake of another node's change of the same rows. It says so in its answer to the next
//! command (`dispatch_command` in `sql/sql_parse.cc` of MariaDB), but some, such as those that prepare and close a statement, have no
//! room for that in theirs. Then nobody is told, and the COMMIT of nothing succeeds. So a transaction begins with a savepoint, which is
//! lost with it and is released before the COMMIT; the answer to that has room. A loss after it is told by the COMMIT, which is the
//! next command. Without autocommit a statement that comes after the loss does not take effect by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Session;
use crate::db::error::DbError;

/// The savepoint at the beginning of a transaction.
const ROLLBACK_CHECK: &str = "galera_rollback_check";

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
