//! Changes of rows that wait until a test lets them go on.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::{Kind, Server};
use crate::common::{pause, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// InnoDB shows the transactions as they were as long as it is asked again within 0.1 s.
const INNODB_KEEPS: Duration = Duration::from_millis(150);

/// Dropped, it lets all go on that has come to it, and holds up nothing any more.
pub(crate) struct Gate {
    /// A client of the database, whose session has a lock that the trigger asks for.
    holder: Child,
}

impl Server {
    /// Holds up changes of rows: `when` is a trigger's, as `AFTER UPDATE ON images`; `which` a condition for `NEW` or `OLD`. There is one
    /// gate in a database, for good.
    pub(crate) fn hold_up(&self, database: &str, when: &str, which: &str) -> Gate {
        let (trigger, hold, is_held) = match self.kind {
            Kind::Postgres => (
                format!(
                    "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$; \
                     CREATE TRIGGER gate {when} FOR EACH ROW WHEN ({which}) EXECUTE FUNCTION gate()"
                ),
                "SELECT pg_advisory_lock(1);\n",
                "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted",
            ),
            Kind::MariaDb => (
                format!(
                    "CREATE TRIGGER gate {when} FOR EACH ROW \
                     DO IF({which}, GET_LOCK('gate', 3600) + RELEASE_LOCK('gate'), 0)"
                ),
                "SELECT GET_LOCK('gate', 0);\n",
                "SELECT IS_USED_LOCK('gate') IS NOT NULL",
            ),
        };
        self.sql_in(database, &trigger);
        let mut holder = self.client(database).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        holder.stdin.as_mut().unwrap().write_all(hold.as_bytes()).unwrap();
        let gate = Gate { holder };
        wait_for("the gate is shut", PATIENCE, || (self.sql_in(database, is_held) == "1").then_some(()));
        gate
    }

    /// Waits until so many transactions wait for a gate, or for each other's locks.
    #[track_caller]
    pub(crate) fn wait_for_waiting(&self, transactions: usize) {
        let sql = match self.kind {
            Kind::Postgres => "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
            Kind::MariaDb => {
                "SELECT (SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock') \
                 + (SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT')"
            }
        };
        let wanted = transactions.to_string();
        wait_for("transactions wait", PATIENCE, || {
            pause(INNODB_KEEPS);
            (self.sql(sql) == wanted).then_some(())
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Its session ends with its input.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
