//! What can be asked of `glance-manage`: upstream's commands in both spellings, `db sync` and `db_sync`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::error::CommandError;
use crate::config::{Arguments, CommonArguments, Program};

/// Glance Management Utility
#[derive(Debug, Parser)]
#[command(name = "glance-manage", version, infer_long_args = true, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0; 1 the command failed; 2 bad arguments; 3, 4, 5 as `db check` explains.")]
pub(super) struct Line {
    #[command(flatten)]
    common: CommonArguments,
    #[command(subcommand)]
    command: Category,
}

#[derive(Debug, Subcommand)]
enum Category {
    /// The tables of the database
    #[command(disable_help_subcommand = true)]
    Db {
        #[command(subcommand)]
        action: Option<Action>,
    },
    /// As `db version`
    #[command(name = "db_version")]
    DbVersion,
    /// As `db check`
    #[command(name = "db_check")]
    DbCheck,
    /// As `db upgrade`
    #[command(name = "db_upgrade")]
    DbUpgrade { version: Option<String> },
    /// As `db version_control`
    #[command(name = "db_version_control")]
    DbVersionControl { version: Option<String> },
    /// As `db sync`
    #[command(name = "db_sync")]
    DbSync { version: Option<String> },
    /// As `db load_metadefs`; any text for an option gives it
    #[command(name = "db_load_metadefs")]
    DbLoadMetadefs {
        path: Option<PathBuf>,
        merge: Option<String>,
        prefer_new: Option<String>,
        overwrite: Option<String>,
    },
    /// As `db unload_metadefs`
    #[command(name = "db_unload_metadefs")]
    DbUnloadMetadefs,
    /// As `db export_metadefs`
    #[command(name = "db_export_metadefs")]
    DbExportMetadefs { path: Option<PathBuf> },
    /// As `db expand`
    #[command(name = "db_expand")]
    DbExpand,
    /// As `db migrate`
    #[command(name = "db_migrate")]
    DbMigrate,
    /// As `db contract`
    #[command(name = "db_contract")]
    DbContract,
}

/// What is to be done. The descriptions are upstream's.
#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
pub(super) enum Action {
    /// Report any pending database upgrades.
    #[command(about = "Report any pending database upgrades.")]
    Check(Nothing),
    /// Run the contraction phase of a database migration.
    #[command(about = "Run the contraction phase of a database migration.")]
    Contract(Nothing),
    /// Run the expansion phase of a database migration.
    #[command(about = "Run the expansion phase of a database migration.")]
    Expand(Nothing),
    /// Run the data migration phase of a database migration.
    #[command(about = "Run the data migration phase of a database migration.")]
    Migrate(Nothing),
    /// Purge deleted rows older than a given age from glance tables.
    #[command(about = "Purge deleted rows older than a given age from glance tables.")]
    Purge(Limits),
    /// Purge deleted rows older than a given age from images table.
    #[command(about = "Purge deleted rows older than a given age from images table.")]
    PurgeImagesTable(Limits),
    /// Perform a complete (offline) database migration
    Sync(Versioned),
    /// Upgrade the database's migration level
    Upgrade(Versioned),
    /// Print database's current migration level
    Version(Nothing),
    /// Place a database under migration control
    VersionControl(Versioned),
    /// Load metadefinition json files to database
    LoadMetadefs(LoadMetadefs),
    /// Unload metadefinitions from database
    UnloadMetadefs,
    /// Export metadefinitions data from database to files
    ExportMetadefs {
        /// Path to the directory where json metadata files should be saved
        #[arg(long, value_name = "path")]
        path: Option<PathBuf>,
    },
}

/// How definitions are loaded.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct LoadMetadefs {
    /// Path to the directory or file where json metadata is stored
    #[arg(long, value_name = "path")]
    pub(super) path: Option<PathBuf>,
    /// Merge files with data that is in the database. By default it prefers existing data over new. This logic can be changed by
    /// combining --merge option with one of these two options: --prefer_new or --overwrite
    #[arg(long)]
    pub(super) merge: bool,
    /// Prefer new metadata over existing. Existing metadata might be overwritten. Needs to be combined with --merge option
    #[arg(long = "prefer_new", alias = "prefer-new")]
    pub(super) prefer_new: bool,
    /// Drop and rewrite metadata. Needs to be combined with --merge option
    #[arg(long)]
    pub(super) overwrite: bool,
}

/// A command without options. As upstream's, it fails when it is given anything, which is not the same as bad usage.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Nothing {
    #[arg(hide = true)]
    arguments: Vec<String>,
}

/// A command that may name a revision, by option or by position.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Versioned {
    /// Database version
    #[arg(long, value_name = "version")]
    version: Option<String>,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

/// Which rows are to be purged.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Limits {
    /// Purge deleted rows older than age in days
    #[arg(long = "age_in_days", value_name = "AGE_IN_DAYS", allow_negative_numbers = true)]
    age_in_days: Option<i128>,
    /// Limit number of records to delete. All deleted rows will be purged if equals -1.
    #[arg(long = "max_rows", value_name = "MAX_ROWS", allow_negative_numbers = true)]
    max_rows: Option<i128>,
    #[arg(hide = true, allow_negative_numbers = true)]
    arguments: Vec<String>,
}

impl Nothing {
    /// # Errors
    /// Arguments that the command does not take.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        if self.arguments.is_empty() { Ok(()) } else { Err(too_many()) }
    }
}

impl Versioned {
    fn of(version: Option<String>) -> Self {
        Self { version, arguments: Vec::new() }
    }

    /// The revision that was named, if one was.
    ///
    /// # Errors
    /// It was named twice.
    pub(super) fn named(self) -> Result<Option<String>, CommandError> {
        let mut named = self.version.into_iter().chain(self.arguments);
        let first = named.next();
        if named.next().is_some() { Err(too_many()) } else { Ok(first) }
    }
}

impl Limits {
    /// Age in days and number of rows (none: no limit), `default_age` and 100 where they are not given; within upstream's bounds
    /// (`DbCommands._purge`, `_validate_db_int`).
    ///
    /// # Errors
    /// In upstream's words.
    pub(super) fn checked(self, default_age: i64) -> Result<(i64, Option<u64>), CommandError> {
        let refuse = |text: &str| Err(CommandError::Refused(text.to_owned()));
        let mut places = self.arguments.into_iter();
        let mut value = |name: &str, named: Option<i128>, default: i64| match (named, places.next()) {
            (Some(_), Some(_)) => Err(too_many()),
            (Some(value), None) => Ok(value),
            (None, None) => Ok(i128::from(default)),
            (None, Some(text)) => {
                text.trim().parse().map_err(|_| CommandError::Refused(format!("Invalid int value for {name}: {text}")))
            }
        };
        let age = value("age_in_days", self.age_in_days, default_age)?;
        let rows = value("max_rows", self.max_rows, 100)?;
        if places.next().is_some() {
            return Err(too_many());
        }
        if age < 0 {
            return refuse("Must supply a non-negative value for age.");
        }
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let Some(age) = i64::try_from(age).ok().filter(|age| age.saturating_mul(86_400) < now) else {
            return refuse("Maximal age is count of days since epoch.");
        };
        if rows < -1 {
            return refuse("Minimal rows limit is -1.");
        }
        if rows > i128::from(i32::MAX) {
            return refuse("'max_rows' value out of range, must not exceed 2147483647.");
        }
        Ok((age, u64::try_from(rows).ok()))
    }
}

fn too_many() -> CommandError {
    CommandError::Refused("ERROR: the command takes fewer arguments".to_owned())
}

impl Line {
    /// The command line, and what it says of the configuration. The first argument is the program's name.
    ///
    /// # Errors
    /// Bad usage, and also `--help` and `--version`.
    pub(super) fn parse(arguments: Vec<OsString>) -> Result<(Self, Arguments), clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let line = Self::from_arg_matches(&matches)?;
        let arguments = CommonArguments::from_arg_matches(&matches)?.for_program(Program::Manage, &matches);
        Ok((line, arguments))
    }

    pub(super) fn command_line() -> Command {
        Self::command()
    }

    /// The action; none: a category without one.
    pub(super) fn action(self) -> Option<Action> {
        match self.command {
            Category::Db { action } => action,
            Category::DbVersion => Some(Action::Version(Nothing::default())),
            Category::DbCheck => Some(Action::Check(Nothing::default())),
            Category::DbUpgrade { version } => Some(Action::Upgrade(Versioned::of(version))),
            Category::DbVersionControl { version } => Some(Action::VersionControl(Versioned::of(version))),
            Category::DbSync { version } => Some(Action::Sync(Versioned::of(version))),
            Category::DbExpand => Some(Action::Expand(Nothing::default())),
            Category::DbMigrate => Some(Action::Migrate(Nothing::default())),
            Category::DbContract => Some(Action::Contract(Nothing::default())),
            Category::DbLoadMetadefs { path, merge, prefer_new, overwrite } => {
                let is_given = |word: Option<String>| word.is_some_and(|word| !word.is_empty());
                let (merge, prefer_new, overwrite) = (is_given(merge), is_given(prefer_new), is_given(overwrite));
                Some(Action::LoadMetadefs(LoadMetadefs { path, merge, prefer_new, overwrite }))
            }
            Category::DbUnloadMetadefs => Some(Action::UnloadMetadefs),
            Category::DbExportMetadefs { path } => Some(Action::ExportMetadefs { path }),
        }
    }
}

impl Action {
    /// What there is, as upstream's tool lists it.
    pub(super) fn list() -> impl fmt::Display {
        let mut command = Action::augment_subcommands(Command::new("db"));
        command.build();
        let mut lines: Vec<String> = command
            .get_subcommands()
            .filter(|action| action.get_name() != "help")
            .map(|action| {
                let about = action.get_about().map(ToString::to_string).unwrap_or_default();
                format!("\t{} - {}", action.get_name(), about)
            })
            .collect();
        lines.sort();
        format!("Available actions for 'db':\n{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Line, Arguments), clap::Error> {
        Line::parse(std::iter::once("glance-manage").chain(line.split_whitespace()).map(OsString::from).collect())
    }

    fn action(line: &str) -> Option<String> {
        parse(line).unwrap().0.action().map(|action| format!("{action:?}"))
    }

    #[test]
    fn both_spellings_ask_for_the_same() {
        assert_eq!(action("db version"), action("db_version"));
        assert_eq!(action("db sync"), action("db_sync"));
        assert_eq!(action("db unload_metadefs"), action("db_unload_metadefs"));
        assert_eq!(action("db export_metadefs --path x"), action("db_export_metadefs x"));
        let all = "db load_metadefs --path x --merge --prefer_new --overwrite";
        assert_eq!(action(all), action("db_load_metadefs x True False x"));
        assert_eq!(action("db load_metadefs"), action("db_load_metadefs"));
        for name in ["check", "upgrade", "version_control", "expand", "migrate", "contract"] {
            assert_eq!(action(&format!("db {name}")), action(&format!("db_{name}")));
        }
        assert_eq!(action("db"), None);
    }

    fn version(line: &str) -> Option<Option<String>> {
        match parse(line).unwrap().0.action() {
            Some(Action::Sync(version) | Action::Upgrade(version)) => version.named().ok(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_revision_is_named_by_option_or_by_place() {
        for line in ["db sync --version heads", "db sync heads", "db_sync heads", "db upgrade --vers heads"] {
            assert_eq!(version(line), Some(Some("heads".to_owned())), "{line}");
        }
        assert_eq!(version("db sync"), Some(None));
        assert_eq!(version("db sync --version a b"), None);
    }

    fn limits(line: &str) -> Result<(i64, Option<u64>), String> {
        match parse(&format!("db purge {line}")).unwrap().0.action() {
            Some(Action::Purge(limits)) => limits.checked(30).map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_purged_has_upstreams_bounds() {
        assert_eq!(limits(""), Ok((30, Some(100))));
        assert_eq!(limits("--age_in_days 5 --max_rows -1"), Ok((5, None)));
        assert_eq!(limits("--max_rows=0 --age_in_days=0"), Ok((0, Some(0))));
        assert_eq!(limits("7 -1"), Ok((7, None)));
        for (line, text) in [
            ("x", "Invalid int value for age_in_days: x"),
            ("1 y", "Invalid int value for max_rows: y"),
            ("--age_in_days -1", "Must supply a non-negative value for age."),
            ("--age_in_days 99999", "Maximal age is count of days since epoch."),
            ("--max_rows -2", "Minimal rows limit is -1."),
            ("--max_rows 2147483648", "'max_rows' value out of range, must not exceed 2147483647."),
            ("1 2 3", "ERROR: the command takes fewer arguments"),
            ("--age_in_days 1 2", "ERROR: the command takes fewer arguments"),
        ] {
            assert_eq!(limits(line), Err(text.to_owned()), "{line}");
        }
        assert_eq!(parse("db purge --max_rows x").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn options_of_the_configuration_come_first_and_may_be_abbreviated() {
        let (_, arguments) = parse("--config-fi a --config-dir d --debug db version").unwrap();
        assert_eq!(arguments.given.len(), 2);
        assert_eq!(arguments.program, Program::Manage);
        for line in ["db version --config-file a", "db nonsense", "nonsense", "--config-file a", "db_sync a b"] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.exit_code(), error.use_stderr()), (2, true), "{line}");
        }
        for line in ["--help", "--version", "db sync --help"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
        }
    }

    #[test]
    fn the_command_is_sound() {
        Line::command().debug_assert();
    }
}
