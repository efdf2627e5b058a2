//! Metadata definitions loaded from files, written to files, and removed, with upstream's texts
//! (`glance/db/sqlalchemy/metadata.py`). As there, a file that cannot be used is no failure of the command: the others are loaded, and
//! standard error names it.

use std::io::Write as _;
use std::path::Path;

use super::arguments::LoadMetadefs;
use super::console::say;
use super::error::CommandError;
use super::{DONE, Status};
use crate::config::Config;
use crate::db::Db;
use crate::metadef::{FileError, LoadOutcome, Merge, Metadefs, find_files};

/// Loads the files at a path, or in the directory that the configuration names.
pub(super) async fn load(wanted: &LoadMetadefs, config: &Config, db: &Db) -> Result<Status, CommandError> {
    let merge = match (wanted.merge, wanted.prefer_new, wanted.overwrite) {
        (false, false, false) => Merge::Skip,
        (true, false, false) => Merge::Add,
        (true, true, false) => Merge::PreferNew,
        (true, false, true) => Merge::Overwrite,
        (false, _, _) => {
            complain("To use --prefer_new or --overwrite you need to combine of these options with --merge option.");
            return Ok(DONE);
        }
        (true, true, true) => {
            complain("Please provide no more than one option from this list: --prefer_new, --overwrite");
            return Ok(DONE);
        }
    };
    let path = wanted.path.as_deref().unwrap_or_else(|| Path::new(&config.default.metadata_source_path));
    let files = match find_files(path).await {
        Ok(files) => files,
        Err(error) => {
            complain(error);
            return Ok(DONE);
        }
    };
    let metadefs = Metadefs::new(db.clone());
    for file in files {
        match metadefs.load(&file, merge).await {
            Ok((name, LoadOutcome::Skipped)) => {
                say(format_args!("Skipping namespace {name}. It already exists in the database."));
            }
            Ok((name, outcome)) => {
                if outcome == LoadOutcome::Overwritten {
                    say(format_args!("Overwriting namespace {name}"));
                }
                say(format_args!("File {} loaded to database.", file.display()));
            }
            Err(FileError::Definitions(error)) => return Err(error.into()),
            Err(error) => complain(error),
        }
    }
    say("Metadata loading finished");
    Ok(DONE)
}

/// Removes all definitions.
pub(super) async fn unload(db: &Db) -> Result<Status, CommandError> {
    for table in Metadefs::new(db.clone()).unload().await? {
        say(format_args!("Table {table} has been cleared"));
    }
    Ok(DONE)
}

/// Writes all definitions into a directory.
pub(super) async fn export(path: Option<&Path>, config: &Config, db: &Db) -> Result<Status, CommandError> {
    let path = path.unwrap_or_else(|| Path::new(&config.default.metadata_source_path));
    let written = |name: &str, file: &Path, was_there: bool| {
        if was_there {
            say(format_args!("Overwriting: {}", file.display()));
        }
        say(format_args!("Namespace {name} saved in {}", file.display()));
    };
    match Metadefs::new(db.clone()).export(path, written).await {
        Ok(()) => Ok(DONE),
        Err(FileError::Definitions(error)) => Err(error.into()),
        Err(error) => Err(CommandError::Refused(error.to_string())),
    }
}

/// A line for standard error, where nobody may read it.
fn complain(what: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
