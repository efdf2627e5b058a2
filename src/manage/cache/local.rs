//! The tools that work on the cache of this host: `glance-cache-pruner`, `glance-cache-cleaner` and `glance-cache-prefetcher`
//! (`glance/cmd/cache_pruner.py` and so on). They ask no service, and may run beside one.

use std::ffi::OsString;
use std::io::stderr;
use std::sync::Arc;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Level;

use super::{DONE, FAILURE, Status, directory, refuse, say_to_stderr};
use crate::cache::Cache;
use crate::config::{CommonArguments, Config, Program, Sources};
use crate::db::{Db, LocationCipher};
use crate::image::{Images, IntentLog};
use crate::manage::error::CommandError;
use crate::notifications::Notifier;
use crate::store::{self, Stores};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Pruner,
    Cleaner,
    Prefetcher,
}

#[derive(Debug, Parser)]
#[command(version, infer_long_args = true, after_help = "Exit status: 0; 1 it failed; 2 bad arguments.")]
struct Line {
    #[command(flatten)]
    common: CommonArguments,
}

impl Tool {
    pub(super) const ALL: [Self; 3] = [Self::Pruner, Self::Cleaner, Self::Prefetcher];

    /// The tool of this name.
    pub(super) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pruner => "glance-cache-pruner",
            Self::Cleaner => "glance-cache-cleaner",
            Self::Prefetcher => "glance-cache-prefetcher",
        }
    }

    pub(super) fn command_line(self) -> Command {
        let about = match self {
            Self::Pruner => "Removes the images that were not read for the longest time from a cache that is too large",
            Self::Cleaner => "Removes from the image cache what came only in part",
            Self::Prefetcher => "Fetches the images that are queued into the image cache",
        };
        Line::command().name(self.name()).about(about)
    }

    /// What upstream's tool says first.
    fn deprecation_notice(self) -> String {
        let what = match self {
            Self::Pruner => "pruner",
            Self::Cleaner => "cleaner",
            Self::Prefetcher => "prefetcher",
        };
        format!(
            "The Glance cache {what} has been deprecated since the Epoxy (2025.1) release. It will be removed in the G (2026.1) release. \
             The Cache API should be used instead."
        )
    }
}

/// Does what the tool is for. Its exit status says whether that went well, not whether every image could be fetched: as upstream's.
pub(super) fn run(tool: Tool, arguments: Vec<OsString>) -> Status {
    say_to_stderr(tool.deprecation_notice());
    let parsed = tool
        .command_line()
        .try_get_matches_from(arguments)
        .and_then(|matches| Ok(Line::from_arg_matches(&matches)?.common.for_program(Program::Cache, &matches)));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    match perform(tool, &Sources::of_process(arguments)) {
        Ok(()) => DONE,
        Err(error) => {
            say_to_stderr(error);
            FAILURE
        }
    }
}

fn perform(tool: Tool, sources: &Sources) -> Result<(), CommandError> {
    let config = Config::load(sources, &store::kinds())?.config;
    directory(&config)?;
    let level = if config.default.debug { Level::DEBUG } else { Level::INFO };
    let log = tracing_subscriber::fmt().with_writer(stderr).with_ansi(false).with_max_level(level).finish();
    // Fails only where there is one already.
    let _ = tracing::subscriber::set_global_default(log);
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        let database = database(tool, &config).await?;
        let cache = Cache::open(&config, database.as_ref(), TaskTracker::new(), CancellationToken::new())
            .await?
            .ok_or_else(CommandError::no_cache)?;
        let done = Box::pin(work(tool, &config, &cache, database.as_ref())).await;
        if let Some(database) = database {
            database.close().await;
        }
        done
    })
}

/// Connects where the tool, or the cache's driver, needs it.
async fn database(tool: Tool, config: &Config) -> Result<Option<Db>, CommandError> {
    let is_central = config.default.image_cache_driver.eq_ignore_ascii_case("centralized_db");
    if !is_central && tool != Tool::Prefetcher {
        return Ok(None);
    }
    let key = config.default.metadata_encryption_key.as_ref().filter(|key| !key.expose().is_empty());
    Ok(Some(Db::connect(&config.database).await?.with_cipher(key.and_then(LocationCipher::new))))
}

async fn work(tool: Tool, config: &Config, cache: &Cache, database: Option<&Db>) -> Result<(), CommandError> {
    match (tool, database) {
        (Tool::Pruner, _) => {
            let pruned = cache.prune().await?;
            tracing::info!(files = pruned.files, bytes = pruned.bytes, "the cache is pruned");
        }
        (Tool::Cleaner, _) => {
            let cleaned = cache.clean().await?;
            tracing::info!(invalid = cleaned.invalid, stalled = cleaned.stalled, "the cache is cleaned");
        }
        (Tool::Prefetcher, None) => {}
        (Tool::Prefetcher, Some(database)) => {
            let stores = Arc::new(Stores::open(config)?);
            // It only reads images.
            let intent_log = Arc::new(IntentLog::closed().map_err(CommandError::Runtime)?);
            let notifier = Notifier::new(Vec::new());
            let images = Images::new(config, database.clone(), stores, intent_log, notifier, TaskTracker::new());
            let fetched = cache.fetch_queued(&images).await?;
            match (fetched.tried, fetched.fetched) {
                (0, _) => tracing::debug!("Nothing to prefetch."),
                (tried, fetched) if tried == fetched => tracing::info!("Successfully cached all {tried} images"),
                _ => tracing::warn!("Failed to successfully cache all images in queue."),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_goes_by_its_name() {
        for tool in Tool::ALL {
            assert_eq!(Tool::called(tool.name()), Some(tool));
            tool.command_line().debug_assert();
        }
        assert_eq!(Tool::called("glance-cache-manage"), None);
    }
}
