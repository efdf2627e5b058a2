//! The operator's tools: `glance-manage` with upstream's commands, texts and exit statuses (`glance/cmd/manage.py`), `glance-status`
//! ([`status`]), and those of the image cache ([`cache`]).
//!
//! [`arguments`] says what can be asked; a command is a function of the database in [`database`] that says what it has done on
//! standard output and returns the exit status. Everything about tables is in [`crate::db`].

mod arguments;
pub mod cache;
mod console;
mod database;
mod error;
mod metadefs;
pub mod status;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Command;
use tokio::runtime::Builder;

use crate::config::{Config, Sources};
use crate::db::Db;
use crate::store;
use arguments::{Action, Line};
use console::say;
use error::CommandError;

/// As a command ends: 0, or what upstream's tool gives.
type Status = u8;
const DONE: Status = 0;
/// Bad arguments, as Python's argparse has it; also when no command is named.
const USAGE: Status = 2;
/// Anything that upstream's tool ends with a text on standard error for.
const FAILURE: Status = 1;

/// Does what the arguments of the process say. Returns when it is done.
///
/// Exit status: 0; 1 the command failed, and standard error says why; 2 bad arguments; 3, 4, 5 what `db check` found.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    ExitCode::from(manage(arguments))
}

/// The command line, for manual pages and completions.
pub fn command() -> Command {
    Line::command_line()
}

fn manage(arguments: Vec<OsString>) -> Status {
    if arguments.len() < 2 {
        let program = arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        say(format_args!("{program} category action [<args>]\nAvailable categories:\n\tdb"));
        return USAGE;
    }
    let (line, arguments) = match Line::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { DONE };
        }
    };
    let Some(action) = line.action() else {
        say(Action::list());
        return USAGE;
    };
    match perform(action, &Sources::of_process(arguments)) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            FAILURE
        }
    }
}

fn perform(action: Action, sources: &Sources) -> Result<Status, CommandError> {
    let config = Config::load(sources, &store::kinds())?.config;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        let db = Db::connect(&config.database).await?;
        let done = Box::pin(database::perform(action, &config, &db)).await;
        db.close().await;
        done
    })
}
