//! The drivers: a new one is a line here and a module of its own.

use super::driver::Driver;
use super::{file, http, rbd};
use crate::config::{GlanceStoreSection, StoreKind};

/// All kinds of stores that upstream has. Those without a way to make one end the start when the configuration names them.
static DRIVERS: [Driver; 7] = [
    file::DRIVER,
    http::DRIVER,
    rbd::DRIVER,
    absent("s3", "glance.store.s3.Store", &["s3", "s3+http", "s3+https"], &["s3_"], |_| None),
    Driver {
        private_schemes: &["swift+config"],
        ..absent(
            "swift",
            "glance.store.swift.Store",
            &["swift", "swift+http", "swift+https", "swift+config"],
            &["swift_", "default_swift_"],
            |options| options.swift_store_auth_insecure.then_some("swift_store_auth_insecure"),
        )
    },
    absent("cinder", "glance.store.cinder.Store", &["cinder"], &["cinder_", "rootwrap_config"], |options| {
        options.cinder_api_insecure.then_some("cinder_api_insecure")
    }),
    absent("vmware", "glance.store.vmware_datastore.Store", &["vsphere"], &["vmware_"], |_| None),
];

const fn absent(
    name: &'static str,
    old_name: &'static str,
    schemes: &'static [&'static str],
    options: &'static [&'static str],
    unverified: fn(&GlanceStoreSection) -> Option<&'static str>,
) -> Driver {
    Driver {
        kind: StoreKind { name, old_name, schemes, is_read_only: false, options, unverified },
        private_schemes: &[],
        is_filtered: false,
        make: None,
        lasts: None,
        make_disabled: None,
    }
}

/// What the configuration has to know of all kinds of stores: see [`crate::config::Config::load`].
pub fn kinds() -> Vec<&'static StoreKind> {
    DRIVERS.iter().map(|driver| &driver.kind).collect()
}

/// The driver of this name; very old files name upstream's classes instead.
pub(super) fn named(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.kind.is_called(name))
}

/// The names of the drivers that this version has, for messages.
pub(super) fn available() -> String {
    let names: Vec<_> = DRIVERS.iter().filter(|driver| driver.make.is_some()).map(|driver| driver.kind.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn drivers_are_found_by_either_name_and_share_none() {
        for driver in &DRIVERS {
            for name in [driver.kind.name, driver.kind.old_name] {
                assert!(std::ptr::eq(named(name).unwrap(), driver), "{name}");
            }
            assert!(driver.private_schemes.iter().all(|scheme| driver.kind.schemes.contains(scheme)));
        }
        assert!(named("floppy").is_none() && named("").is_none());
        let mut schemes: Vec<_> = DRIVERS.iter().flat_map(|driver| driver.kind.schemes).collect();
        let count = schemes.len();
        schemes.sort_unstable();
        schemes.dedup();
        assert_eq!(schemes.len(), count, "two drivers take the same URLs");
        assert_eq!(available(), "file, http, rbd");
    }

    #[test]
    fn every_option_of_a_driver_has_one_driver() {
        let general = ["default_backend", "default_store", "stores"];
        let mut orphans = Vec::new();
        Config::default().each_name("glance_store", &mut |option| {
            let owners = DRIVERS.iter().filter(|driver| driver.kind.has(option)).count();
            assert!(owners <= 1, "{option}");
            if owners == 0 {
                orphans.push(option.to_owned());
            }
        });
        orphans.retain(|option| !option.starts_with("sheepdog_") && option != "store_capabilities_update_min_interval");
        assert_eq!(orphans, general);
    }
}
