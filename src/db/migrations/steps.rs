//! One revision, on each kind of database.

use std::borrow::Cow;

use tokio::time::sleep;

use super::lock::PAUSE;
use super::revisions::{Revision, Rows};
use super::statements::{self, MYSQL_NO_TRIGGERS, MYSQL_TRIGGERS, Sql, remake_images};
use super::{Observer, data, note};
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::row::Columns;
use crate::db::session::{Session, Transaction};

/// How often a statement is tried that could not get its lock within a moment. While it waits, others wait behind it.
const ATTEMPTS: u32 = 300;

/// Does what a revision says, and notes that it is done.
pub(super) async fn perform(
    session: &mut Session,
    revision: &'static Revision,
    rows: &Rows,
    is_rolling: bool,
    observe: Observer<'_>,
) -> Result<(), DbError> {
    data::before(session, revision, observe).await?;
    let statements = statements::of(session.dialect(), revision.name);
    match session.dialect() {
        Dialect::Sqlite => {
            for sql in statements {
                session.plain(sql).await?;
            }
            remake(session, revision).await?;
            note(session, rows).await
        }
        Dialect::Postgres => {
            let mut together = Vec::new();
            for sql in statements {
                if !stands_alone(sql) {
                    together.push(sql);
                    continue;
                }
                transaction(session, &std::mem::take(&mut together), None).await?;
                drop_broken_index(session, sql).await?;
                session.plain(sql).await?;
            }
            transaction(session, &together, Some(rows)).await
        }
        Dialect::MySql => {
            session.plain("SET SESSION lock_wait_timeout = 5").await?;
            let triggers: &[&'static str] = match revision.name {
                // Where binary logs are written, even dropping what is not there takes a privilege that few have.
                "ocata_contract01" if has_triggers(session).await? => &MYSQL_NO_TRIGGERS,
                "ocata_expand01" if is_rolling => &MYSQL_TRIGGERS,
                _ => &[],
            };
            let (first, last) =
                if revision.name == "ocata_contract01" { (triggers, &[][..]) } else { (&[][..], triggers) };
            for sql in first.iter().copied().chain(statements).chain(last.iter().copied()) {
                once(session, sql).await?;
            }
            transaction(session, &[], Some(rows)).await
        }
    }
}

/// Two revisions change columns of images, which SQLite cannot.
async fn remake(session: &mut Session, revision: &Revision) -> Result<(), DbError> {
    let is_contracted = match revision.name {
        "ocata_expand01" => false,
        "ocata_contract01" => true,
        _ => return Ok(()),
    };
    let columns = Sql(Cow::Borrowed("SELECT name FROM pragma_table_info('images')"));
    let columns = session.rows(&columns, |row| Columns::of(row).text()).await?;
    for sql in remake_images(&columns, is_contracted) {
        session.execute(&sql).await?;
    }
    Ok(())
}

/// What PostgreSQL does beside servers that read and write, and not within a transaction.
fn stands_alone(sql: &str) -> bool {
    sql.starts_with("CREATE INDEX CONCURRENTLY") || sql.contains(" VALIDATE CONSTRAINT ")
}

/// All of it or nothing. `rows`: it is the end of the revision.
async fn transaction(session: &mut Session, statements: &[&'static str], rows: Option<&Rows>) -> Result<(), DbError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let work = async {
            session.begin(Transaction::Write).await?;
            if session.dialect() == Dialect::Postgres {
                session.plain("SET LOCAL lock_timeout = '2s'").await?;
            }
            for sql in statements {
                session.plain(*sql).await?;
            }
            if let Some(rows) = rows {
                note(session, rows).await?;
            }
            session.commit().await
        };
        match work.await {
            Err(DbError::Contention { .. }) if attempt < ATTEMPTS => {
                session.rollback().await;
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Whether a rolling upgrade of MySQL has made its triggers.
async fn has_triggers(session: &mut Session) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name IN \
               ('insert_visibility', 'update_visibility') LIMIT 1";
    Ok(session.row(&Sql(Cow::Borrowed(sql)), |_| Ok(())).await?.is_some())
}

/// A statement of MySQL, unless it has been done before.
async fn once(session: &mut Session, sql: &'static str) -> Result<(), DbError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match session.plain(sql).await {
            Err(DbError::Contention { .. }) if attempt < ATTEMPTS => sleep(PAUSE).await,
            Err(error) if error.is_done_already() => return Ok(()),
            done => return done,
        }
    }
}

/// An interruption leaves an index that is kept up to date and that no query uses.
async fn drop_broken_index(session: &mut Session, sql: &str) -> Result<(), DbError> {
    let Some((_, rest)) = sql.split_once("IF NOT EXISTS ") else { return Ok(()) };
    let name = rest.split(' ').next().unwrap_or_default();
    let broken = format!(
        "SELECT 1 FROM pg_index WHERE NOT indisvalid AND indexrelid = (SELECT oid FROM pg_class WHERE relkind = 'i' AND \
         relname = '{name}' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))"
    );
    if session.row(&Sql(Cow::Owned(broken)), |_| Ok(())).await?.is_some() {
        session.plain(format!("DROP INDEX CONCURRENTLY {name}")).await?;
    }
    Ok(())
}
