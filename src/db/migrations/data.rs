//! Rows that an older release has written, in the form that the newer one reads
//! (`glance/db/sqlalchemy/alembic_migrations/data_migrations`).
//!
//! Upstream's tool runs those of its own release only, which are none. Whoever comes from further back would meet a column that
//! must not be empty, and stores that nobody finds: here each runs right before the revision that needs it, in small pieces, so
//! that servers go on.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::revisions::Revision;
use super::statements::Sql;
use super::{Observer, Progress};
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::session::Session;

/// Rows that are changed by one statement.
const PIECE: u32 = 1000;

/// Fills in one kind of row. Where a column is missing, it has been made: the revision that removes the column was begun
/// before, and did not come to its end, or another program is about to do it.
struct Backfill {
    table: &'static str,
    set: &'static str,
    /// Of the rows that are to be changed; none of those that have been.
    which: &'static str,
    /// The same on PostgreSQL and on MySQL, where they say it in another way.
    which_postgres: Option<&'static str>,
    which_mysql: Option<&'static str>,
}

/// What belongs to one release.
struct Migration {
    /// The revision that makes it possible.
    since: &'static str,
    /// The one that needs it.
    until: &'static str,
    backfills: &'static [Backfill],
}

static MIGRATIONS: [Migration; 2] = [
    // `ocata_migrate01_community_images`
    Migration {
        since: "ocata_expand01",
        until: "ocata_contract01",
        backfills: &[
            Backfill {
                table: "images",
                set: "visibility = 'public'",
                which: "visibility IS NULL AND is_public",
                which_postgres: None,
                which_mysql: None,
            },
            Backfill {
                table: "images",
                set: "visibility = 'private'",
                which: "visibility IS NULL",
                which_postgres: None,
                which_mysql: None,
            },
            Backfill {
                table: "images",
                set: "visibility = 'shared'",
                which: "visibility = 'private' AND id IN (SELECT image_id FROM image_members WHERE NOT deleted)",
                which_postgres: None,
                which_mysql: None,
            },
        ],
    },
    // `train_migrate01_backend_to_store`
    Migration {
        since: "train_expand01",
        until: "train_contract01",
        backfills: &[Backfill {
            table: "image_locations",
            set: r#"meta_data = REPLACE(meta_data, '"backend":', '"store":')"#,
            which: r#"instr(meta_data, '"backend":') > 0"#,
            which_postgres: Some(r#"POSITION('"backend":' IN meta_data) > 0"#),
            // Otherwise it would find letters of the other case, which the replacement leaves.
            which_mysql: Some(r#"INSTR(CAST(meta_data AS BINARY), '"backend":') > 0"#),
        }],
    },
];

impl Backfill {
    fn which(&self, dialect: Dialect) -> &'static str {
        let own = match dialect {
            Dialect::Sqlite => None,
            Dialect::Postgres => self.which_postgres,
            Dialect::MySql => self.which_mysql,
        };
        own.unwrap_or(self.which)
    }

    fn piece(&self, dialect: Dialect) -> Sql {
        let Self { table, set, .. } = self;
        let which = self.which(dialect);
        Sql(Cow::Owned(match dialect {
            Dialect::MySql => format!("UPDATE {table} SET {set} WHERE {which} LIMIT {PIECE}"),
            _ => format!("UPDATE {table} SET {set} WHERE id IN (SELECT id FROM {table} WHERE {which} LIMIT {PIECE})"),
        }))
    }

    async fn is_pending(&self, session: &mut Session) -> Result<bool, DbError> {
        let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 1", self.table, self.which(session.dialect()));
        match session.rows(&Sql(Cow::Owned(sql)), |_| Ok(())).await {
            Err(DbError::Tables(_)) => Ok(false),
            found => Ok(!found?.is_empty()),
        }
    }

    /// Returns how many rows it changed; `before`: others did already.
    async fn run(&self, session: &mut Session, before: u64, observe: Observer<'_>) -> Result<u64, DbError> {
        let piece = self.piece(session.dialect());
        let mut rows = 0;
        loop {
            match session.execute(&piece).await {
                Ok(0) | Err(DbError::Tables(_)) => return Ok(rows),
                changed => rows += changed?,
            }
            observe(Progress::Rows(before + rows));
        }
    }
}

fn due(done: &BTreeSet<&'static str>) -> impl Iterator<Item = &'static Backfill> {
    let is_due = |migration: &&Migration| done.contains(migration.since) && !done.contains(migration.until);
    MIGRATIONS.iter().filter(is_due).flat_map(|migration| migration.backfills)
}

/// Whether any row waits; `done` are the revisions that are.
pub(super) async fn is_pending(session: &mut Session, done: &BTreeSet<&'static str>) -> Result<bool, DbError> {
    for backfill in due(done) {
        if backfill.is_pending(session).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Changes all rows that wait. Returns how many changes there were: one row may need two.
pub(super) async fn migrate(
    session: &mut Session,
    done: &BTreeSet<&'static str>,
    observe: Observer<'_>,
) -> Result<u64, DbError> {
    let mut rows = 0;
    for backfill in due(done) {
        rows += backfill.run(session, rows, observe).await?;
    }
    Ok(rows)
}

/// What a revision needs.
pub(super) async fn before(session: &mut Session, revision: &Revision, observe: Observer<'_>) -> Result<(), DbError> {
    for migration in MIGRATIONS.iter().filter(|migration| migration.until == revision.name) {
        for backfill in migration.backfills {
            backfill.run(session, 0, observe).await?;
        }
    }
    Ok(())
}
