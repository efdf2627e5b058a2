//! The stores of a multi-store configuration: `enabled_backends` and the sections that it names.

use std::collections::BTreeMap;

use super::option::{OptionInfo, Section};
use super::reader::Reader;
use super::schema::{self, BACKEND_DEFAULTS};
use super::{Config, DefaultSection, GlanceStoreSection, StoreCommonSection};

/// The stores that the service keeps for itself: for uploads before an import, and for the work of tasks.
pub(super) const RESERVED: [&str; 2] = ["os_glance_staging_store", "os_glance_tasks_store"];
const RESERVED_PREFIX: &str = "os_glance_";

/// Names of drivers, with the schemes of their locations; the long names are old ones (glance_store's entry points).
const DRIVERS: [(&str, &str, &[&str]); 7] = [
    ("file", "glance.store.filesystem.Store", &["file", "filesystem"]),
    ("http", "glance.store.http.Store", &["http", "https"]),
    ("rbd", "glance.store.rbd.Store", &["rbd"]),
    ("s3", "glance.store.s3.Store", &["s3", "s3+http", "s3+https"]),
    ("swift", "glance.store.swift.Store", &["swift", "swift+http", "swift+https", "swift+config"]),
    ("cinder", "glance.store.cinder.Store", &["cinder"]),
    ("vmware", "glance.store.vmware_datastore.Store", &["vsphere"]),
];

/// One store of a multi-store configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreSection {
    /// Driver type: the value beside the store's id in `enabled_backends`.
    pub driver: String,
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
            if belongs_to(&self.driver, info.name) {
                visit(info, text);
            }
        });
    }
}

/// Reads the stores, and notes what is wrong with `enabled_backends` and `default_backend`, or with `stores` and
/// `default_store` where there is only one.
pub(super) fn read(reader: &mut Reader<'_>, config: &Config) -> BTreeMap<String, StoreSection> {
    let mut stores = BTreeMap::new();
    let Some(backends) = config.default.enabled_backends.as_ref().filter(|backends| !backends.is_empty()) else {
        check_single(reader, config);
        return stores;
    };
    for (id, driver) in backends {
        if id.starts_with(RESERVED_PREFIX) {
            let reason = "'os_glance_' prefix should not be used in enabled_backends config option. It is reserved \
                          for internal use only.";
            reader.refuse(DefaultSection::NAME, "enabled_backends", reason);
        } else if let Some(driver) = known(reader, "enabled_backends", DefaultSection::NAME, driver) {
            stores.insert(id.clone(), store(reader, id, driver));
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
    for id in RESERVED {
        let mut store = store(reader, id, "file");
        if !reader.is_set(id, "filesystem_store_datadir") {
            // The documented default; upstream's own code loses it.
            store.options.filesystem_store_datadir = format!("/var/lib/glance/{id}");
        }
        stores.insert(id.to_owned(), store);
    }
    stores
}

fn store(reader: &mut Reader<'_>, id: &str, driver: &str) -> StoreSection {
    let own = schema::normal_section(id);
    // The reserved stores do not take part in what the operator's stores share.
    let mut chain = vec![own];
    if !RESERVED.contains(&id) {
        chain.push(BACKEND_DEFAULTS.to_owned());
    }
    let common = StoreCommonSection::read(&mut reader.section(chain.clone()));
    let options = GlanceStoreSection::read(&mut reader.section(chain));
    StoreSection {
        driver: driver.to_owned(),
        store_description: common.store_description,
        weight: common.weight,
        options,
    }
}

fn check_single(reader: &mut Reader<'_>, config: &Config) {
    let options = &config.glance_store;
    let stores: Vec<_> =
        options.stores.iter().filter_map(|name| known(reader, "stores", GlanceStoreSection::NAME, name)).collect();
    let scheme = options.default_store.as_str();
    let served = DRIVERS.iter().any(|(name, _, schemes)| stores.contains(name) && schemes.contains(&scheme));
    if !served {
        reader.refuse(GlanceStoreSection::NAME, "default_store", format!("Store for scheme {scheme} not found"));
    }
}

/// The short name of a driver. One that does not exist must not vanish: images would go elsewhere, or be lost to view.
fn known(reader: &mut Reader<'_>, option: &str, section: &str, driver: &str) -> Option<&'static str> {
    let found = DRIVERS.iter().find(|(name, long, _)| *name == driver || *long == driver).map(|(name, ..)| *name);
    if found.is_none() {
        let names = DRIVERS.map(|(name, ..)| name).join(", ");
        reader.refuse(
            section,
            option,
            format!("names the store type {driver}, which does not exist; there are {names}"),
        );
    }
    found
}

/// Whether an option of `[glance_store]` means something to a store of this driver.
fn belongs_to(driver: &str, option: &str) -> bool {
    match driver {
        "file" => option.starts_with("filesystem_"),
        "http" => option.starts_with("http"),
        "rbd" => option.starts_with("rbd_") || option.starts_with("rados_"),
        "s3" => option.starts_with("s3_"),
        "swift" => option.contains("swift_"),
        "cinder" => option.starts_with("cinder_") || option == "rootwrap_config",
        "vmware" => option.starts_with("vmware_"),
        _ => true,
    }
}
