//! `--check-config`: what a start would refuse, found without starting.

use super::error::Error;
use super::logging;
use super::parts::{AssembleError, database_error};
use super::settings::Settings;
use super::tls::Tls;
use crate::cache::Cache;
use crate::config::{Config, Loaded};
use crate::db::Db;
use crate::http::Plan;
use crate::identity::Authenticator;
use crate::image::schema::ImageSchema;
use crate::keys::KeyManager;
use crate::keystone::UnifiedLimits;
use crate::policy::{Enforcer, Protections};
use crate::store::Stores;

type Part = fn(&Config) -> Result<(), Error>;

/// All that a start with this configuration would end with status 78 for, in words that name the place, as far as it shows
/// without changing or contacting anything, and without what the service manager passes. Blocks: it reads files. For the
/// database see [`check_database`].
pub fn check(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let parts: [Part; 11] = [worker, log, pipeline, policy, protections, limits, keys, database, stores, cache, schema];
    parts.iter().filter_map(|part| part(config).err()).map(|error| loaded.locate(&error)).collect()
}

/// Whether the database can be reached and has the tables that a start needs, in the words and with the exit status that a
/// start would end with. Waits for the database, within the bounds of a connection.
///
/// # Errors
/// Text and exit status.
pub fn check_database(loaded: &Loaded) -> Result<(), (String, u8)> {
    let told = |error: Error| (loaded.locate(&error), error.exit_status());
    let runtime = super::runtime(Some(0)).map_err(|error| told(Error::Runtime(error)))?;
    let checked = runtime.block_on(Db::check_tables(&loaded.config.database));
    checked.map_err(|error| told(database_error(error).into()))
}

fn worker(config: &Config) -> Result<(), Error> {
    let settings = Settings::new(config)?;
    settings.tls.as_ref().map(|files| Tls::load(files, None)).transpose()?;
    Ok(())
}

fn log(config: &Config) -> Result<(), Error> {
    Ok(logging::check(&config.default)?)
}

fn pipeline(config: &Config) -> Result<(), Error> {
    let plan = Plan::from_config(config).map_err(AssembleError::configuration)?;
    plan.check_options(config).map_err(AssembleError::configuration)?;
    if plan.needs_identity() {
        Authenticator::new(config).map_err(AssembleError::configuration)?;
    }
    Ok(())
}

fn policy(config: &Config) -> Result<(), Error> {
    Enforcer::new(config, &config.search).map_err(AssembleError::configuration)?;
    Ok(())
}

fn protections(config: &Config) -> Result<(), Error> {
    Protections::load(config).map_err(AssembleError::configuration)?;
    Ok(())
}

fn limits(config: &Config) -> Result<(), Error> {
    if config.default.use_keystone_limits {
        UnifiedLimits::new(config).map_err(AssembleError::configuration)?;
    }
    Ok(())
}

fn keys(config: &Config) -> Result<(), Error> {
    KeyManager::new(config).map_err(AssembleError::configuration)?;
    Ok(())
}

fn database(config: &Config) -> Result<(), Error> {
    Ok(Db::check(&config.database).map_err(AssembleError::configuration)?)
}

fn stores(config: &Config) -> Result<(), Error> {
    Ok(Stores::check(config).map_err(AssembleError::configuration)?)
}

fn cache(config: &Config) -> Result<(), Error> {
    // What is wrong with the pipeline is said of the pipeline.
    let is_needed = Plan::from_config(config).is_ok_and(|plan| plan.has_cache());
    Ok(Cache::check(config, is_needed).map_err(AssembleError::configuration)?)
}

fn schema(config: &Config) -> Result<(), Error> {
    ImageSchema::load(config).map_err(AssembleError::configuration)?;
    Ok(())
}
