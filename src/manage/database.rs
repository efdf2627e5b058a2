//! The commands on the tables, with upstream's texts (`DbCommands` of `glance/cmd/manage.py`).
//!
//! Upstream refuses to upgrade PostgreSQL in steps while servers run; here that works as on the others.

use super::arguments::{Action, Limits};
use super::console::{Meter, say};
use super::error::CommandError;
use super::{DONE, Status, metadefs};
use crate::config::Config;
use crate::db::migrations::{EXPANDED, FIRST, HEAD, Upgrade, find};
use crate::db::purge::Table;
use crate::db::{Db, DbError};

/// Ages after which rows are purged if nobody says otherwise, in days.
const AGE: i64 = 30;
const AGE_OF_IMAGES: i64 = 180;

/// What `db check` ends with: the step that comes next.
const NEEDS_EXPAND: Status = 3;
const NEEDS_MIGRATE: Status = 4;
const NEEDS_CONTRACT: Status = 5;

const UP_TO_DATE: &str = "Database is up to date. No migrations needed.";

/// Does what was asked for.
pub(super) async fn perform(action: Action, config: &Config, db: &Db) -> Result<Status, CommandError> {
    let work = Work { db, meter: &Meter::new() };
    let done = match action {
        Action::Check(nothing) => {
            nothing.check()?;
            work.check().await
        }
        Action::Contract(nothing) => {
            nothing.check()?;
            work.contract(true).await
        }
        Action::Expand(nothing) => {
            nothing.check()?;
            work.expand(true).await
        }
        Action::Migrate(nothing) => {
            nothing.check()?;
            work.migrate().await
        }
        Action::Purge(limits) => work.purge(&Table::BUT_IMAGES, limits, AGE).await,
        Action::PurgeImagesTable(limits) => work.purge(&[Table::Images], limits, AGE_OF_IMAGES).await,
        // Upstream takes a version here, and has no use for it.
        Action::Sync(version) => {
            version.named()?;
            work.sync().await
        }
        Action::Upgrade(version) => work.upgrade(version.named()?.as_deref().unwrap_or("heads"), true).await,
        Action::LoadMetadefs(wanted) => metadefs::load(&wanted, config, db).await,
        Action::UnloadMetadefs => metadefs::unload(db).await,
        Action::ExportMetadefs { path } => metadefs::export(path.as_deref(), config, db).await,
        Action::Version(nothing) => {
            nothing.check()?;
            work.version().await
        }
        Action::VersionControl(version) => work.version_control(version.named()?.as_deref().unwrap_or(FIRST)).await,
    };
    work.meter.clear();
    done
}

struct Work<'a> {
    db: &'a Db,
    meter: &'a Meter,
}

impl Work<'_> {
    async fn version(&self) -> Result<Status, CommandError> {
        let revisions = self.db.revisions().await?;
        if revisions.is_empty() {
            say("Database is either not under migration control or under legacy migration control, please run \
                 \"glance-manage db sync\" to place the database under alembic migration control.");
        }
        for revision in revisions {
            say(revision);
        }
        Ok(DONE)
    }

    async fn check(&self) -> Result<Status, CommandError> {
        const BEHIND: &str = "Your database is not up to date.";
        if self.is_at(HEAD).await? {
            say("Database is up to date. No upgrades needed.");
            Ok(DONE)
        } else if !self.is_at(EXPANDED).await? {
            say(format_args!("{BEHIND} Your first step is to run `glance-manage db expand`."));
            Ok(NEEDS_EXPAND)
        } else if self.db.has_pending_data().await? {
            say(format_args!("{BEHIND} Your next step is to run `glance-manage db migrate`."));
            Ok(NEEDS_MIGRATE)
        } else {
            say(format_args!("{BEHIND} Your next step is to run `glance-manage db contract`."));
            Ok(NEEDS_CONTRACT)
        }
    }

    async fn version_control(&self, version: &str) -> Result<Status, CommandError> {
        let revision = find(version).map_err(DbError::from)?;
        self.db.stamp(revision, &|progress| self.meter.migration(&progress)).await?;
        self.meter.clear();
        say(format_args!("Placed database under migration control at revision: {version}"));
        Ok(DONE)
    }

    async fn sync(&self) -> Result<Status, CommandError> {
        if self.is_at(HEAD).await? {
            say(UP_TO_DATE);
            return Ok(DONE);
        }
        self.expand(false).await?;
        // Another host was faster: nothing is left.
        if !self.is_at(HEAD).await? {
            self.migrate().await?;
            self.contract(false).await?;
        }
        say("Database is synced successfully.");
        Ok(DONE)
    }

    async fn expand(&self, is_rolling: bool) -> Result<Status, CommandError> {
        if self.is_at(HEAD).await? {
            say(UP_TO_DATE);
        } else if self.is_at(EXPANDED).await? {
            say("Database expansion is up to date. No expansion needed.");
        } else {
            self.upgrade(EXPANDED, is_rolling).await?;
        }
        Ok(DONE)
    }

    async fn migrate(&self) -> Result<Status, CommandError> {
        if self.is_at(HEAD).await? {
            say(UP_TO_DATE);
        } else if !self.is_at(EXPANDED).await? {
            return refuse(
                "Data migration did not run. Data migration cannot be run before database expansion. Run database \
                 expansion first using \"glance-manage db expand\"",
            );
        } else if self.db.has_pending_data().await? {
            let rows = self.db.migrate_data(&|progress| self.meter.migration(&progress)).await?;
            self.meter.clear();
            say(format_args!("Migrated {rows} rows"));
        } else {
            say("Database migration is up to date. No migration needed.");
        }
        Ok(DONE)
    }

    async fn contract(&self, is_rolling: bool) -> Result<Status, CommandError> {
        if self.is_at(HEAD).await? {
            say(UP_TO_DATE);
            return Ok(DONE);
        }
        if !self.is_at(EXPANDED).await? {
            return refuse(
                "Database contraction did not run. Database contraction cannot be run before database expansion. Run \
                 database expansion first using \"glance-manage db expand\"",
            );
        }
        if self.db.has_pending_data().await? {
            return refuse(
                "Database contraction did not run. Database contraction cannot be run before data migration is complete. \
                 Run data migration using \"glance-manage db migrate\".",
            );
        }
        self.upgrade(HEAD, is_rolling).await
    }

    async fn upgrade(&self, version: &str, is_rolling: bool) -> Result<Status, CommandError> {
        let upgrade = Upgrade { target: find(version).map_err(DbError::from)?, is_rolling };
        let revisions = self.db.upgrade(upgrade, &|progress| self.meter.migration(&progress)).await?;
        self.meter.clear();
        let revisions = revisions.join(", ");
        if version == "heads" {
            say(format_args!("Upgraded database, current revision(s): {revisions}"));
        } else {
            say(format_args!("Upgraded database to: {version}, current revision(s): {revisions}"));
        }
        Ok(DONE)
    }

    async fn purge(&self, tables: &[Table], limits: Limits, default_age: i64) -> Result<Status, CommandError> {
        let (age, most) = limits.checked(default_age)?;
        for &table in tables {
            let name = table.name();
            self.meter.line(format_args!("Purging deleted rows older than {age} day(s) from table {name}"));
            let observe = |rows| self.meter.rows(format_args!("{rows} row(s) deleted from table {name}"));
            let rows = self.db.purge(table, age, most, &observe).await.map_err(|error| {
                self.meter.line(format_args!("DBError detected when purging from {name}: {error}"));
                if error.is_reference() {
                    CommandError::Refused("Purge command failed, check glance-manage logs for more details.".to_owned())
                } else {
                    error.into()
                }
            })?;
            self.meter.line(format_args!("Deleted {rows} row(s) from table {name}"));
        }
        Ok(DONE)
    }

    /// Whether alembic's table names this revision.
    async fn is_at(&self, revision: &str) -> Result<bool, DbError> {
        Ok(self.db.revisions().await?.iter().any(|head| head == revision))
    }
}

fn refuse(text: &str) -> Result<Status, CommandError> {
    Err(CommandError::Refused(text.to_owned()))
}
