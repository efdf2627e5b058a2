//! The commands on the tables, with upstream's texts (`DbCommands` of `glance/cmd/manage.py`).

use super::arguments::Action;
use super::console::say;
use super::error::CommandError;
use super::{DONE, Status, metadefs};
use crate::config::Config;
use crate::db::schema::HEAD;
use crate::db::{Db, DbError};
use crate::http::ErrorWithCauses;

/// Does what was asked for.
pub(super) async fn perform(action: Action, config: &Config, db: &Db) -> Result<Status, CommandError> {
    match action {
        Action::Version => version(db).await,
        Action::Sync(_) => sync(db).await,
        Action::LoadMetadefs(wanted) => metadefs::load(&wanted, config, db).await,
        Action::UnloadMetadefs => metadefs::unload(db).await,
        Action::ExportMetadefs { path } => metadefs::export(path.as_deref(), config, db).await,
    }
}

async fn version(db: &Db) -> Result<Status, CommandError> {
    let revisions = db.revisions().await?;
    if revisions.is_empty() {
        say("Database is either not under migration control or under legacy migration control, please run \
             \"glance-manage db sync\" to place the database under alembic migration control.");
    }
    for revision in revisions {
        say(revision);
    }
    Ok(DONE)
}

async fn sync(db: &Db) -> Result<Status, CommandError> {
    if db.revisions().await?.iter().any(|revision| revision == HEAD) {
        say("Database is up to date. No migrations needed.");
        return Ok(DONE);
    }
    let made = async {
        db.create_schema().await?;
        db.check_schema().await
    };
    made.await.map_err(|error: DbError| {
        CommandError::Refused(format!("Failed to sync database: ERROR: {}", ErrorWithCauses(&error)))
    })?;
    say("Database is synced successfully.");
    Ok(DONE)
}
