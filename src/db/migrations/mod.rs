//! From any of upstream's revisions to a newer one, on each kind of database.
//!
//! [`revisions`] says what there is and in which order, [`statements`] what each does, [`data`] what becomes of rows, [`lock`]
//! that only one program does it at a time. On SQLite all of it is one transaction. PostgreSQL commits after each revision, and
//! makes indexes and checks rows outside of transactions, so that servers go on reading and writing. MySQL commits by itself
//! after each statement. Whatever interrupts it, the next run goes on where this one ended.

mod data;
mod lock;
mod revisions;
mod state;
mod statements;
mod steps;

use sea_query::{Expr, ExprTrait, Query};
use tokio::time::sleep;

use super::connection::Db;
use super::dialect::Dialect;
use super::error::{DbError, SchemaError};
use super::retry::UnitOfWork;
use super::session::{Session, Transaction};
use lock::{Lock, PAUSE};
pub(crate) use revisions::{EXPANDED, FIRST, HEAD, Revision, find};
use revisions::{FORMER, Rows};
pub(crate) use state::{CountTables, Revisions};
use statements::VERSION_TABLE;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgrade {
    /// It, and all that comes before it.
    pub(crate) target: &'static Revision,
    /// Servers of an older release are at work on the database meanwhile.
    pub(crate) is_rolling: bool,
}

/// How far it is.
pub(crate) enum Progress<'a> {
    /// Another program has the lock.
    Waiting,
    /// A revision begins.
    Revision { revision: &'a Revision, number: usize, of: usize },
    /// So many rows have been changed by now.
    Rows(u64),
}

/// Is told how far it is.
pub(crate) type Observer<'a> = &'a (dyn for<'p> Fn(Progress<'p>) + Send + Sync);

impl Db {
    /// Brings the tables up to a revision; makes them where there are none. Returns what alembic's table names then.
    ///
    /// A file of SQLite that is ours to fill also becomes a write-ahead-log database, which is a property of the file and
    /// lets readers and the writer pass each other. The mode of a file that was made elsewhere is left as it is.
    ///
    /// # Errors
    /// The first failure; what was done before stays, on SQLite nothing does.
    pub(crate) async fn upgrade(&self, upgrade: Upgrade, observe: Observer<'_>) -> Result<Vec<String>, DbError> {
        let mut session = self.writer().await?;
        if session.dialect() == Dialect::Sqlite && (CountTables { named: None }).run(&mut session).await? == 0 {
            use_write_ahead_log(&mut session).await?;
        }
        let mut alone = Alone::new(self, &mut session, observe).await?;
        let done = upgrade_all(alone.session, upgrade, observe).await;
        alone.end(done).await
    }

    /// Notes that the tables are at a revision, without looking at them (`alembic stamp`).
    ///
    /// # Errors
    /// A database that cannot be used, or that is at a revision nobody knows.
    pub(crate) async fn stamp(&self, revision: &'static Revision, observe: Observer<'_>) -> Result<(), DbError> {
        let mut session = self.writer().await?;
        let mut alone = Alone::new(self, &mut session, observe).await?;
        let done = async {
            let heads = heads(alone.session).await?;
            let rows = revisions::stamped(&heads, revision)?;
            note_at_once(alone.session, &rows).await
        };
        let done = done.await;
        alone.end(done).await
    }

    /// Whether rows wait for what `migrate_data` does.
    pub(crate) async fn has_pending_data(&self) -> Result<bool, DbError> {
        let mut session = self.writer().await?;
        let heads = Revisions.run(&mut session).await?;
        data::is_pending(&mut session, &revisions::done(&heads)?).await
    }

    /// Changes rows as the next revision that removes something needs them. Returns how many.
    ///
    /// # Errors
    /// The first failure; what was done before stays, on SQLite nothing does.
    pub(crate) async fn migrate_data(&self, observe: Observer<'_>) -> Result<u64, DbError> {
        let mut session = self.writer().await?;
        let mut alone = Alone::new(self, &mut session, observe).await?;
        let done = async {
            let heads = heads(alone.session).await?;
            data::migrate(alone.session, &revisions::done(&heads)?, observe).await
        };
        let done = done.await;
        alone.end(done).await
    }
}

/// The right to change the tables. On SQLite it is a transaction, which holds all that is done; elsewhere a lock.
struct Alone<'s> {
    session: &'s mut Session,
    lock: Option<Lock>,
}

impl<'s> Alone<'s> {
    async fn new(db: &Db, session: &'s mut Session, observe: Observer<'_>) -> Result<Self, DbError> {
        let lock = if session.dialect() == Dialect::Sqlite {
            // Making a table anew removes the old one, to which others refer. Within a transaction it has no effect.
            session.plain("PRAGMA foreign_keys = OFF").await?;
            if let Err(error) = lock::begin(session, observe).await {
                session.plain("PRAGMA foreign_keys = ON").await?;
                return Err(error);
            }
            None
        } else {
            Some(Lock::take(db, session, observe).await?)
        };
        Ok(Self { session, lock })
    }

    async fn end<T>(&mut self, done: Result<T, DbError>) -> Result<T, DbError> {
        let done = match done {
            Ok(value) => self.session.commit().await.map(|()| value),
            Err(error) => {
                self.session.rollback().await;
                Err(error)
            }
        };
        if let Some(lock) = self.lock.take() {
            lock.release(self.session).await;
            return done;
        }
        let restored = self.session.plain("PRAGMA foreign_keys = ON").await;
        done.and_then(|value| restored.map(|()| value))
    }
}

async fn upgrade_all(session: &mut Session, upgrade: Upgrade, observe: Observer<'_>) -> Result<Vec<String>, DbError> {
    let mut heads = heads(session).await?;
    let missing = revisions::missing(&heads, upgrade.target)?;
    if missing.first().is_some_and(|revision| revision.name == FIRST) {
        refuse_strange_tables(session).await?;
    }
    for (number, revision) in missing.iter().enumerate() {
        observe(Progress::Revision { revision, number: number + 1, of: missing.len() });
        let rows = revisions::after(&heads, revision);
        steps::perform(session, revision, &rows, upgrade.is_rolling, observe).await?;
        heads.retain(|head| !rows.remove.contains(head));
        heads.extend(rows.add.map(str::to_owned));
    }
    heads.sort();
    Ok(heads)
}

/// The rows of alembic's table, which is made if it is missing.
async fn heads(session: &mut Session) -> Result<Vec<String>, DbError> {
    if (CountTables { named: Some("alembic_version") }).run(session).await? == 0 {
        session.plain(VERSION_TABLE).await?;
    }
    let mut heads = Revisions.run(session).await?;
    for (old, new) in FORMER {
        if let Some(head) = heads.iter_mut().find(|head| *head == old) {
            note_at_once(session, &Rows { remove: vec![old.to_owned()], add: Some(new) }).await?;
            new.clone_into(head);
        }
    }
    Ok(heads)
}

/// Tables of which alembic knows nothing are left alone. MySQL may have stopped in the middle of making ours, which have no
/// rows then.
async fn refuse_strange_tables(session: &mut Session) -> Result<(), DbError> {
    if (CountTables { named: Some("images") }).run(session).await? == 0 {
        return Ok(());
    }
    let is_ours = session.dialect() == Dialect::MySql
        && (CountTables { named: Some("migrate_version") }).run(session).await? == 0
        && {
            let first = Query::select().expr(Expr::val(1)).from("images").limit(1).take();
            session.rows(&first, |_| Ok(())).await?.is_empty()
        };
    if is_ours { Ok(()) } else { Err(SchemaError::NoRevision.into()) }
}

/// Changes the rows of alembic's table; the caller decides on the transaction.
async fn note(session: &mut Session, rows: &Rows) -> Result<(), DbError> {
    for old in &rows.remove {
        let mut delete = Query::delete();
        delete.from_table("alembic_version").and_where(Expr::col("version_num").eq(old.as_str()));
        session.execute(&delete).await?;
    }
    if let Some(new) = rows.add {
        let mut insert = Query::insert();
        insert.into_table("alembic_version").columns(["version_num"]).values_panic([Expr::val(new)]);
        session.execute(&insert).await?;
    }
    Ok(())
}

/// As [`note`], in a transaction in any case.
async fn note_at_once(session: &mut Session, rows: &Rows) -> Result<(), DbError> {
    if session.is_in_transaction() {
        return note(session, rows).await;
    }
    session.begin(Transaction::Write).await?;
    note(session, rows).await?;
    session.commit().await
}

/// The switch needs the file for itself and does not wait for it, so another worker that starts at this moment is in
/// the way for a few milliseconds.
async fn use_write_ahead_log(session: &mut Session) -> Result<(), DbError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match session.plain("PRAGMA journal_mode = WAL").await {
            Err(DbError::Contention { .. }) if attempt < 100 => sleep(PAUSE).await,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
