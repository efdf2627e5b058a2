//! The tools of the image cache: `glance-cache-manage` ([`client`], [`commands`]), which asks a service, and those that work on the
//! cache of this host ([`local`]): `glance-cache-pruner`, `glance-cache-cleaner`, `glance-cache-prefetcher`.
//!
//! They are one program, which goes by the name under which it is called.

mod arguments;
mod client;
mod commands;
mod local;
mod statistics;
mod table;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use tokio::runtime::{Builder, Runtime};

use super::error::CommandError;
use super::{DONE, FAILURE, Status, USAGE};
use crate::config::Config;
use arguments::Line;
use local::Tool;

/// Does what the arguments of the process say. Returns when it is done.
///
/// Exit status: 0; 1 it failed, and the output says why; 2 bad arguments.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let name = arguments.first().and_then(|path| Path::new(path).file_name()).unwrap_or_default().to_string_lossy();
    ExitCode::from(match Tool::called(&name) {
        Some(tool) => local::run(tool, arguments),
        None => manage(arguments),
    })
}

/// The command lines of all the tools with their names, for manual pages and completions.
pub fn all_commands() -> impl Iterator<Item = (&'static str, Command)> {
    let manage = ("glance-cache-manage", Line::command_line());
    Tool::ALL.into_iter().map(|tool| (tool.name(), tool.command_line())).chain([manage])
}

fn manage(arguments: Vec<OsString>) -> Status {
    let line = match Line::parse(arguments) {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    if line.stats {
        return statistics::show(&line);
    }
    say_to_stderr(
        "In the Caracal development cycle, the glance-cache-manage command has been deprecated in favor of the new Cache API. It is \
         scheduled to be removed in the Dalmatian development cycle.",
    );
    commands::run(&line)
}

/// Says what is wrong with the arguments, or the help that was asked for.
fn refuse(error: &clap::Error) -> Status {
    // Nobody is left to tell when even this cannot be printed.
    let _ = error.print();
    if error.use_stderr() { USAGE } else { DONE }
}

fn say_to_stderr(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Where the cache is.
///
/// # Errors
/// None is configured.
fn directory(config: &Config) -> Result<&str, CommandError> {
    config.default.image_cache_dir.as_deref().filter(|path| !path.is_empty()).ok_or_else(CommandError::no_cache)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
