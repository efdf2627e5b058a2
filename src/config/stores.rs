//! The stores of a multi-store configuration: `enabled_backends` and the sections that it names.

use std::collections::BTreeMap;

use super::driver_options::DriverOptions;
use super::option::{OptionInfo, Options as _, Section as _};
use super::reader::Reader;
use super::schema::{self, BACKEND_DEFAULTS};
use super::store_kind::StoreKind;
use super::{Config, DefaultSection, GlanceStoreSection, StoreCommonSection};

/// Where uploads for an import wait.
pub const STAGING_STORE: &str = "os_glance_staging_store";
/// Where import tasks keep their files.
pub const TASKS_STORE: &str = "os_glance_tasks_store";
/// The stores that the service keeps for itself.
pub(super) const RESERVED: [&str; 2] = [STAGING_STORE, TASKS_STORE];
/// Ids that begin so belong to such stores.
pub(crate) const RESERVED_PREFIX: &str = "os_glance_";

/// One store of a multi-store configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreSection {
    /// Driver type: the value beside the store's id in `enabled_backends`.
    pub driver: String,
    /// As [`Self::driver`]; `None` in a section that no file was read for.
    pub kind: Option<&'static StoreKind>,
    /// Text about the store shown by `info/stores`.
    pub store_description: Option<String>,
    /// Preference when choosing among locations; higher first.
    pub weight: i64,
    /// The driver's options.
    pub options: DriverOptions,
}

impl StoreSection {
    /// Calls `visit` with each option that means something to this store.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&'static OptionInfo, Option<String>)) {
        let common = StoreCommonSection { store_description: self.store_description.clone(), weight: self.weight };
        common.each(visit);
        self.options.each(&mut |info, text| {
            if self.kind.is_none_or(|kind| kind.option_names().any(|name| name == info.name)) {
                visit(info, text);
            }
        });
    }
}

/// What is said to drivers outside of stores' own sections: in `[glance_store]`, and in sections that are a driver's.
pub(super) fn read_shared(
    reader: &mut Reader<'_>,
    kinds: &[&'static StoreKind],
) -> (DriverOptions, BTreeMap<&'static str, DriverOptions>) {
    let mut read = |section: &str, options| reader.section(vec![section.to_owned()]).driver_options(options);
    let shared = read(GlanceStoreSection::NAME, declared(kinds));
    let own = kinds.iter().flat_map(|kind| kind.sections);
    (shared, own.map(|(section, options)| (*section, read(section, options.iter().collect()))).collect())
}

/// All options that a section of a store can have, whichever kind it is of: stores may share a section.
fn declared(kinds: &[&'static StoreKind]) -> Vec<&'static OptionInfo> {
    kinds.iter().flat_map(|kind| kind.options).collect()
}

/// Reads the stores, and notes what is wrong with `enabled_backends` and `default_backend`, or with `stores` and
/// `default_store` where there is only one.
pub(super) fn read(
    reader: &mut Reader<'_>,
    config: &Config,
    kinds: &[&'static StoreKind],
) -> BTreeMap<String, StoreSection> {
    let mut stores = BTreeMap::new();
    check_default_scheme(reader, config, kinds);
    let Some(backends) = config.default.enabled_backends.as_ref().filter(|backends| !backends.is_empty()) else {
        check_single(reader, config, kinds);
        return stores;
    };
    for (id, driver) in backends {
        if id.starts_with(RESERVED_PREFIX) {
            let reason = "'os_glance_' prefix should not be used in enabled_backends config option. It is reserved \
                          for internal use only.";
            reader.refuse(DefaultSection::NAME, "enabled_backends", reason);
        } else if let Some(kind) = known(reader, "enabled_backends", DefaultSection::NAME, driver, kinds) {
            stores.insert(id.clone(), store(reader, id, kind, kinds));
        }
    }
    match config.glance_store.default_backend.as_deref() {
        None => {
            reader.refuse(GlanceStoreSection::NAME, "default_backend", "'default_backend' config option is not set.");
        }
        Some(id) if !backends.iter().any(|(known, _)| known == id) => {
            reader.refuse(GlanceStoreSection::NAME, "default_backend", format!("Store for identifier {id} not found"));
        }
        Some(_) => {}
    }
    let of_service = kinds.iter().find_map(|kind| Some((*kind, kind.folder?)));
    let Some((kind, folder)) = of_service else { return stores };
    for id in RESERVED {
        let mut store = store(reader, id, kind, kinds);
        if !reader.is_set(id, folder) {
            // The documented default; upstream's own code loses it.
            store.options.set(folder, &[&format!("/var/lib/glance/{id}")]);
        }
        stores.insert(id.to_owned(), store);
    }
    stores
}

fn store(reader: &mut Reader<'_>, id: &str, kind: &'static StoreKind, kinds: &[&'static StoreKind]) -> StoreSection {
    let own = schema::normal_section(id);
    // The reserved stores do not take part in what the operator's stores share.
    let mut chain = vec![own];
    if !RESERVED.contains(&id) {
        chain.push(BACKEND_DEFAULTS.to_owned());
    }
    let common = StoreCommonSection::read(&mut reader.section(chain.clone()));
    let options = reader.section(chain).driver_options(declared(kinds));
    StoreSection {
        driver: kind.name.to_owned(),
        kind: Some(kind),
        store_description: common.store_description,
        weight: common.weight,
        options,
    }
}

/// The scheme must be one that some kind of store has, be it used or not.
fn check_default_scheme(reader: &mut Reader<'_>, config: &Config, kinds: &[&'static StoreKind]) {
    let scheme = config.glance_store.default_store.as_str();
    let known: Vec<_> = kinds.iter().flat_map(|kind| kind.schemes).copied().collect();
    if !known.contains(&scheme) {
        let allowed = format!("must be one of {}", known.join(", "));
        reader.reject(GlanceStoreSection::NAME, "default_store", scheme, allowed);
    }
}

fn check_single(reader: &mut Reader<'_>, config: &Config, kinds: &[&'static StoreKind]) {
    let options = &config.glance_store;
    let stores = options.stores.iter();
    let stores: Vec<_> =
        stores.filter_map(|name| known(reader, "stores", GlanceStoreSection::NAME, name, kinds)).collect();
    let scheme = options.default_store.as_str();
    let has_scheme = |kinds: &[&StoreKind]| kinds.iter().any(|kind| kind.schemes.contains(&scheme));
    if has_scheme(kinds) && !has_scheme(&stores) {
        reader.refuse(GlanceStoreSection::NAME, "default_store", format!("Store for scheme {scheme} not found"));
    }
}

/// The kind of store that a driver's name means. One that does not exist must not vanish: images would go elsewhere, or be lost
/// to view.
fn known(
    reader: &mut Reader<'_>,
    option: &str,
    section: &str,
    driver: &str,
    kinds: &[&'static StoreKind],
) -> Option<&'static StoreKind> {
    let found = kinds.iter().find(|kind| kind.is_called(driver)).copied();
    if found.is_none() {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        let names = names.join(", ");
        reader.refuse(
            section,
            option,
            format!("names the store type {driver}, which does not exist; there are {names}"),
        );
    }
    found
}
