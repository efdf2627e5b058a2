//! From options to stores.

use std::sync::Arc;

use super::super::driver::{Driver, Setup, Store};
use super::super::{StoreError, drivers, file};
use super::recipe::Recipe;
use super::{STAGING_STORE, StoreEntry, Stores, TASKS_STORE};
use crate::config::{Config, DriverOptions, ImportFilteringOptsSection, StoreSection};
use crate::keystone::outgoing::UrlFilter;

/// What all stores of a configuration are made with.
struct Opener<'a> {
    filter: UrlFilter,
    /// What the filter is made from.
    filter_options: &'a ImportFilteringOptsSection,
    only_checks: bool,
    /// Those in force.
    previous: Option<&'a Stores>,
}

/// A store, and how to tell whether another would be the same; `None`: it is made anew by each reload.
type Made = (Arc<dyn Store>, Option<Recipe>);

impl Stores {
    /// Makes the stores of a configuration: directories are created and checked, and nothing that is contacted is
    /// waited for. Blocks on the file system, so call it where that does no harm.
    ///
    /// A store whose options are bad is logged and can only be read from, unless it is the default.
    ///
    /// # Errors
    /// `Configuration` in words for the operator: no or a bad default store, a driver that this version
    /// does not have, a reserved id.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        Self::with(config, false, None)
    }

    /// As [`Self::open`], for a reload: stores that hold connections or sessions are taken over from `previous`, those in force,
    /// while all that they are made from is the same.
    ///
    /// # Errors
    /// As there.
    pub fn open_again(config: &Config, previous: &Self) -> Result<Self, StoreError> {
        Self::with(config, false, Some(previous))
    }

    /// What [`Self::open`] would refuse, as far as that shows without looking at directories. Changes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn check(config: &Config) -> Result<(), StoreError> {
        Self::with(config, true, None).map(drop)
    }

    fn with(config: &Config, only_checks: bool, previous: Option<&Self>) -> Result<Self, StoreError> {
        let filter_options = &config.import_filtering_opts;
        let opener = Opener { filter: UrlFilter::new(filter_options), filter_options, only_checks, previous };
        let backends = config.default.enabled_backends.as_deref().unwrap_or_default();
        let (entries, default) =
            if backends.is_empty() { single(config, &opener)? } else { multi(config, backends, &opener)? };
        let staging = if backends.is_empty() { staging(config, &opener)? } else { None };
        Ok(Self { multi: !backends.is_empty(), entries, staging, default, filter: opener.filter })
    }
}

fn single(config: &Config, opener: &Opener<'_>) -> Result<(Vec<StoreEntry>, usize), StoreError> {
    let wanted = config.glance_store.default_store.as_str();
    let mut entries: Vec<StoreEntry> = Vec::new();
    for name in &config.glance_store.stores {
        let Some(driver) = driver("glance_store", name) else { continue };
        if entries.iter().any(|entry| std::ptr::eq(entry.driver, driver)) {
            continue;
        }
        let is_default = driver.kind.schemes.contains(&wanted);
        if let Some((store, recipe)) = opener.make("glance_store", None, driver, &config.driver_options, is_default)? {
            let id = driver.kind.name.to_owned();
            entries.push(StoreEntry { id, description: None, weight: 0, is_default, store, driver, recipe });
        }
    }
    let default = entries.iter().position(|entry| entry.is_default).ok_or_else(|| StoreError::Configuration {
        store: "glance_store".to_owned(),
        reason: format!("default_store: Store for scheme {wanted} not found; stores must name it"),
    })?;
    Ok((entries, default))
}

/// The folder of `node_staging_uri`.
fn staging(config: &Config, opener: &Opener<'_>) -> Result<Option<StoreEntry>, StoreError> {
    let uri = config.default.node_staging_uri.as_str();
    let Some(folder) = uri.strip_prefix("file://").filter(|folder| folder.starts_with('/')) else {
        // The configuration has told of it.
        return Ok(None);
    };
    let driver = &file::DRIVER;
    let made = opener.make("node_staging_uri", None, driver, &in_folder(folder), false)?;
    Ok(made.map(|(store, recipe)| StoreEntry {
        id: STAGING_STORE.to_owned(),
        description: None,
        weight: 0,
        is_default: false,
        store,
        driver,
        recipe,
    }))
}

fn multi(
    config: &Config,
    backends: &[(String, String)],
    opener: &Opener<'_>,
) -> Result<(Vec<StoreEntry>, usize), StoreError> {
    let wrong = |section: &str, reason: &str| StoreError::Configuration {
        store: section.to_owned(),
        reason: reason.to_owned(),
    };
    let wanted = config.glance_store.default_backend.as_deref().filter(|id| !id.is_empty());
    let wanted = wanted.ok_or_else(|| wrong("glance_store", "'default_backend' config option is not set."))?;
    let mut entries = Vec::new();
    for (id, kind) in backends {
        let fallback = StoreSection::default();
        let section = config.stores.get(id).unwrap_or(&fallback);
        let is_default = id == wanted;
        let Some(driver) = driver(id, kind) else { continue };
        if let Some((store, recipe)) = opener.make(id, Some(id), driver, &section.options, is_default)? {
            entries.push(StoreEntry {
                id: id.clone(),
                description: section.store_description.clone().filter(|text| !text.is_empty()),
                weight: section.weight,
                is_default,
                store,
                driver,
                recipe,
            });
        }
    }
    let default = entries.iter().position(|entry| entry.is_default);
    let unknown = || wrong("glance_store", &format!("default_backend: Store for identifier {wanted} not found"));
    let default = default.ok_or_else(unknown)?;
    for id in [STAGING_STORE, TASKS_STORE] {
        let usual = || in_folder(&format!("/var/lib/glance/{id}"));
        let options = config.stores.get(id).map_or_else(usual, |section| section.options.clone());
        let driver = &file::DRIVER;
        if let Some((store, recipe)) = opener.make(id, Some(id), driver, &options, false)? {
            let id = id.to_owned();
            entries.push(StoreEntry { id, description: None, weight: 0, is_default: false, store, driver, recipe });
        }
    }
    Ok((entries, default))
}

/// The options of a file store in this folder.
fn in_folder(folder: &str) -> DriverOptions {
    let mut options = DriverOptions::default();
    options.set(file::FOLDER, &[folder]);
    options
}

/// Where import tasks keep their files; `None` in single-store mode.
pub(crate) fn tasks_folder(config: &Config) -> Option<String> {
    let section = config.stores.get(TASKS_STORE)?;
    Some(section.options.read::<file::FileOptions>().filesystem_store_datadir)
}

/// The driver of this name; the configuration has been told of unknown ones.
fn driver(store: &str, kind: &str) -> Option<&'static Driver> {
    let found = drivers::named(kind);
    if found.is_none() {
        tracing::warn!(store, kind, "unknown type of store; it is disabled");
    }
    found
}

impl Opener<'_> {
    /// `None` for a store that cannot be used at all and that nobody needs.
    fn make(
        &self,
        name: &str,
        id: Option<&str>,
        driver: &'static Driver,
        options: &DriverOptions,
        is_default: bool,
    ) -> Result<Option<Made>, StoreError> {
        let setup = Setup { name, id, options, filter: &self.filter, only_checks: self.only_checks };
        let make = driver.make.ok_or_else(|| {
            let (section, option) = if id.is_some() { ("DEFAULT", "enabled_backends") } else { (name, "stores") };
            let reason = format!(
                "{option}: this version has no driver for stores of type {}, only for {}; remove the store",
                driver.kind.name,
                drivers::available()
            );
            StoreError::Configuration { store: section.to_owned(), reason }
        })?;
        let recipe = Recipe::of(driver, &setup, self.filter_options);
        if let Some(store) = recipe.as_ref().and_then(|recipe| self.in_force(recipe)) {
            return Ok(Some((store, recipe)));
        }
        match (make(&setup), driver.make_disabled) {
            (Ok(store), _) => Ok(Some((store, recipe))),
            (Err(error), _) if is_default => Err(error),
            (Err(error), Some(make_disabled)) => {
                tracing::warn!(store = name, %error, "failed to configure a store; it can only be read from");
                Ok(Some((make_disabled(&setup), None)))
            }
            (Err(error), None) => {
                tracing::warn!(store = name, %error, "failed to configure a store; it is disabled");
                Ok(None)
            }
        }
    }

    /// The store in force that was made from the same.
    fn in_force(&self, recipe: &Recipe) -> Option<Arc<dyn Store>> {
        let mut entries = self.previous?.entries.iter();
        entries.find(|entry| entry.recipe.as_ref() == Some(recipe)).map(|entry| Arc::clone(&entry.store))
    }
}
