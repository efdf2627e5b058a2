//! The stores of a multi-store configuration: `enabled_backends` and the sections that it names.

use std::collections::BTreeMap;

use super::option::{OptionInfo, Section};
use super::reader::Reader;
use super::schema::{self, BACKEND_DEFAULTS};
use super::{Config, DefaultSection, GlanceStoreSection, StoreCommonSection};

/// The stores that the service keeps for itself: for uploads before an import, and for the work of tasks.
pub(super) const RESERVED: [&str; 2] = ["os_glance_staging_store", "os_glance_tasks_store"];
const RESERVED_PREFIX: &str = "os_glance_";

/// What the configuration has to know of a kind of store. Which kinds there are is not its business: whoever has drivers gives
/// the list to [`Config::load`].
#[derive(Debug)]
pub struct StoreKind {
    /// As in `enabled_backends` and `stores`.
    pub name: &'static str,
    /// The class that very old files name instead (glance_store's entry points).
    pub old_name: &'static str,
    /// The schemes of its locations' URLs, in lower case.
    pub schemes: &'static [&'static str],
    /// Images are only read from there, and clients are told so (`read-only` in `info/stores`).
    pub is_read_only: bool,
    /// How the names of its options begin.
    pub options: &'static [&'static str],
    /// The option that leaves certificates unverified, where one is in force.
    pub unverified: fn(&GlanceStoreSection) -> Option<&'static str>,
}

impl PartialEq for StoreKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl StoreKind {
    /// Whether a file means this kind by that name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.old_name == name
    }

    /// Whether an option of `[glance_store]` means something to a store of this kind.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|beginning| option.starts_with(beginning))
    }
}

impl GlanceStoreSection {
    /// Whether all that means something to a store of this kind is the same in both.
    pub fn is_same_for(&self, kind: &StoreKind, other: &Self) -> bool {
        let texts = |section: &Self| {
            let mut texts = Vec::new();
            section.each(&mut |info, text| texts.extend(kind.has(info.name).then_some(text)));
            texts
        };
        texts(self) == texts(other)
    }
}

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
    pub options: GlanceStoreSection,
}

impl StoreSection {
    /// Calls `visit` with each option that means something to this store.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&'static OptionInfo, Option<String>)) {
        let common = StoreCommonSection { store_description: self.store_description.clone(), weight: self.weight };
        common.each(visit);
        self.options.each(&mut |info, text| {
            if self.kind.is_none_or(|kind| kind.has(info.name)) {
                visit(info, text);
            }
        });
    }
}

/// Reads the stores, and notes what is wrong with `enabled_backends` and `default_backend`, or with `stores` and
/// `default_store` where there is only one.
pub(super) fn read(
    reader: &mut Reader<'_>,
    config: &Config,
    kinds: &[&'static StoreKind],
) -> BTreeMap<String, StoreSection> {
    let mut stores = BTreeMap::new();
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
            stores.insert(id.clone(), store(reader, id, kind));
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
    let Some(file) = kinds.iter().find(|kind| kind.is_called("file")) else { return stores };
    for id in RESERVED {
        let mut store = store(reader, id, file);
        if !reader.is_set(id, "filesystem_store_datadir") {
            // The documented default; upstream's own code loses it.
            store.options.filesystem_store_datadir = format!("/var/lib/glance/{id}");
        }
        stores.insert(id.to_owned(), store);
    }
    stores
}

fn store(reader: &mut Reader<'_>, id: &str, kind: &'static StoreKind) -> StoreSection {
    let own = schema::normal_section(id);
    // The reserved stores do not take part in what the operator's stores share.
    let mut chain = vec![own];
    if !RESERVED.contains(&id) {
        chain.push(BACKEND_DEFAULTS.to_owned());
    }
    let common = StoreCommonSection::read(&mut reader.section(chain.clone()));
    let options = GlanceStoreSection::read(&mut reader.section(chain));
    StoreSection {
        driver: kind.name.to_owned(),
        kind: Some(kind),
        store_description: common.store_description,
        weight: common.weight,
        options,
    }
}

fn check_single(reader: &mut Reader<'_>, config: &Config, kinds: &[&'static StoreKind]) {
    let options = &config.glance_store;
    let stores = options.stores.iter();
    let stores: Vec<_> =
        stores.filter_map(|name| known(reader, "stores", GlanceStoreSection::NAME, name, kinds)).collect();
    let scheme = options.default_store.as_str();
    if !stores.iter().any(|kind| kind.schemes.contains(&scheme)) {
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
