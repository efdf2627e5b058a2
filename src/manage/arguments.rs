//! What can be asked of `glance-manage`: upstream's commands in both spellings, `db sync` and `db_sync`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
}

/// What is to be done.
#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
pub(super) enum Action {
    /// Perform a complete (offline) database migration
    Sync(Versioned),
    /// Print database's current migration level
    Version,
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

/// A command that may name a revision, by option or by position.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Versioned {
    /// Database version
    #[arg(long = "version", value_name = "version")]
    named: Option<String>,
    /// Database version
    #[arg(value_name = "VERSION", conflicts_with = "named")]
    placed: Option<String>,
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
            Category::DbVersion => Some(Action::Version),
            Category::DbSync { version } => Some(Action::Sync(Versioned { named: version, placed: None })),
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
        assert!(action("db sync --version heads").unwrap().contains("named: Some(\"heads\")"));
        assert!(action("db sync heads").unwrap().contains("placed: Some(\"heads\")"));
        assert!(action("db_sync heads").unwrap().contains("heads"));
        assert_eq!(action("db unload_metadefs"), action("db_unload_metadefs"));
        assert_eq!(action("db export_metadefs --path x"), action("db_export_metadefs x"));
        let all = "db load_metadefs --path x --merge --prefer_new --overwrite";
        assert_eq!(action(all), action("db_load_metadefs x True False x"));
        assert_eq!(action("db load_metadefs"), action("db_load_metadefs"));
        assert_eq!(action("db"), None);
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
