//! From options to stores.

use std::sync::Arc;

use super::super::StoreError;
use super::super::driver::Store;
use super::super::file::FileStore;
use super::super::http::HttpStore;
use super::super::rbd::RbdStore;
use super::{RESERVED_PREFIX, STAGING_STORE, StoreEntry, Stores, TASKS_STORE};
use crate::config::{Config, GlanceStoreSection, StoreSection};
use crate::keystone::UrlFilter;

/// Drivers that upstream has and this version has not.
const MISSING: [&str; 4] = ["s3", "swift", "cinder", "vmware"];

/// Makes a store.
type Open<S> = fn(&str, Option<&str>, &GlanceStoreSection) -> Result<S, StoreError>;

/// What all stores of a configuration are made with.
struct Opener {
    filter: UrlFilter,
    file: Open<FileStore>,
    rbd: Open<RbdStore>,
}

impl Stores {
    /// Makes the stores of a configuration: directories are created and checked, and nothing that is contacted is
    /// waited for. Blocks on the file system, so call it where that does no harm.
    ///
    /// A store whose options are bad is logged and can only be read from, unless it is the default.
    ///
    /// # Errors
    /// `Configuration` (or `UnknownStore`) in words for the operator: no or a bad default store, a driver that this version
    /// does not have, a reserved id.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        Self::with(config, FileStore::open, RbdStore::open)
    }

    /// What [`Self::open`] would refuse, as far as that shows without looking at directories. Changes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn check(config: &Config) -> Result<(), StoreError> {
        Self::with(config, FileStore::unprepared, RbdStore::unconnected).map(drop)
    }

    fn with(config: &Config, file: Open<FileStore>, rbd: Open<RbdStore>) -> Result<Self, StoreError> {
        let opener = Opener { filter: UrlFilter::new(&config.import_filtering_opts), file, rbd };
        let backends = config.default.enabled_backends.as_deref().unwrap_or_default();
        let (entries, default) =
            if backends.is_empty() { single(config, &opener)? } else { multi(config, backends, &opener)? };
        Ok(Self { multi: !backends.is_empty(), entries, default, filter: opener.filter })
    }
}

fn single(config: &Config, opener: &Opener) -> Result<(Vec<StoreEntry>, usize), StoreError> {
    let options = &config.glance_store;
    let wanted = options.default_store.as_str();
    let mut entries: Vec<StoreEntry> = Vec::new();
    for name in &options.stores {
        // Very old files name the classes.
        let kind = match name.as_str() {
            "glance.store.filesystem.Store" => "file",
            "glance.store.vmware_datastore.Store" => "vmware",
            name => name.strip_prefix("glance.store.").and_then(|rest| rest.strip_suffix(".Store")).unwrap_or(name),
        };
        if entries.iter().any(|entry| entry.kind == kind) {
            continue;
        }
        let is_default = schemes(kind).contains(&wanted);
        if let Some(store) = make("glance_store", None, kind, options, is_default, opener)? {
            let (id, kind) = (kind.to_owned(), kind.to_owned());
            entries.push(StoreEntry { id, kind, description: None, weight: 0, is_default, store });
        }
    }
    let default = entries.iter().position(|entry| entry.is_default).ok_or_else(|| StoreError::Configuration {
        store: "glance_store".to_owned(),
        reason: format!("Store for scheme {wanted} not found; [glance_store] stores must name the default_store"),
    })?;
    Ok((entries, default))
}

fn multi(
    config: &Config,
    backends: &[(String, String)],
    opener: &Opener,
) -> Result<(Vec<StoreEntry>, usize), StoreError> {
    let wrong =
        |reason: &str| StoreError::Configuration { store: "glance_store".to_owned(), reason: reason.to_owned() };
    if backends.iter().any(|(id, _)| id.starts_with(RESERVED_PREFIX)) {
        return Err(wrong(
            "'os_glance_' prefix should not be used in enabled_backends config option. It is reserved for internal use only.",
        ));
    }
    let wanted = config.glance_store.default_backend.as_deref().filter(|id| !id.is_empty());
    let wanted = wanted.ok_or_else(|| wrong("'default_backend' config option is not set."))?;
    let mut entries = Vec::new();
    for (id, kind) in backends {
        let fallback = StoreSection::default();
        let section = config.stores.get(id).unwrap_or(&fallback);
        let is_default = id == wanted;
        if let Some(store) = make(id, Some(id), kind, &section.options, is_default, opener)? {
            entries.push(StoreEntry {
                id: id.clone(),
                kind: kind.clone(),
                description: section.store_description.clone().filter(|text| !text.is_empty()),
                weight: section.weight,
                is_default,
                store,
            });
        }
    }
    let default = entries.iter().position(|entry| entry.is_default);
    let default = default.ok_or_else(|| StoreError::UnknownStore { store: wanted.to_owned() })?;
    for id in [STAGING_STORE, TASKS_STORE] {
        let options = config.stores.get(id).map_or_else(|| reserved(id), |section| section.options.clone());
        if let Some(store) = make(id, Some(id), "file", &options, false, opener)? {
            let (id, kind) = (id.to_owned(), "file".to_owned());
            entries.push(StoreEntry { id, kind, description: None, weight: 0, is_default: false, store });
        }
    }
    Ok((entries, default))
}

fn reserved(id: &str) -> GlanceStoreSection {
    GlanceStoreSection { filesystem_store_datadir: format!("/var/lib/glance/{id}"), ..GlanceStoreSection::default() }
}

/// `None` for a store that cannot be used at all and that nobody needs.
fn make(
    name: &str,
    id: Option<&str>,
    kind: &str,
    options: &GlanceStoreSection,
    is_default: bool,
    opener: &Opener,
) -> Result<Option<Arc<dyn Store>>, StoreError> {
    match kind {
        "file" => match (opener.file)(name, id, options) {
            Ok(store) => Ok(Some(Arc::new(store))),
            Err(error) if is_default => Err(error),
            Err(error) => {
                tracing::warn!(store = name, %error, "failed to configure a store; it can only be read from");
                Ok(Some(Arc::new(FileStore::disabled(name, id, options))))
            }
        },
        "http" => unless_needed(name, is_default, HttpStore::open(name, options, opener.filter.clone())),
        "rbd" => unless_needed(name, is_default, (opener.rbd)(name, id, options)),
        kind if MISSING.contains(&kind) => Err(StoreError::Configuration {
            store: name.to_owned(),
            reason: format!(
                "this version has no driver for stores of type {kind}, only file, http and rbd; remove the store"
            ),
        }),
        kind => {
            tracing::warn!(store = name, kind, "unknown type of store; it is disabled");
            Ok(None)
        }
    }
}

fn schemes(kind: &str) -> &'static [&'static str] {
    match kind {
        "file" => &["file", "filesystem"],
        "http" => &["http", "https"],
        "rbd" => &["rbd"],
        _ => &[],
    }
}

/// A store that cannot be opened is disabled, unless it is the default.
fn unless_needed<S: Store + 'static>(
    name: &str,
    is_default: bool,
    opened: Result<S, StoreError>,
) -> Result<Option<Arc<dyn Store>>, StoreError> {
    match opened {
        Ok(store) => Ok(Some(Arc::new(store))),
        Err(error) if is_default => Err(error),
        Err(error) => {
            tracing::warn!(store = name, %error, "failed to configure a store; it is disabled");
            Ok(None)
        }
    }
}
