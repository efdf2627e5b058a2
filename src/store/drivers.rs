//! The drivers: a new one is a line here and a module of its own.

use super::absent::{cinder, s3, swift, vmware};
use super::driver::Driver;
use super::{file, http, rbd};
use crate::config::StoreKind;

/// All kinds of stores that upstream has. Those without a way to make one end the start when the configuration names them.
static DRIVERS: [Driver; 7] =
    [file::DRIVER, http::DRIVER, rbd::DRIVER, s3::DRIVER, swift::DRIVER, cinder::DRIVER, vmware::DRIVER];

/// What the configuration has to know of all kinds of stores: see [`crate::config::Config::load`].
pub fn kinds() -> Vec<&'static StoreKind> {
    DRIVERS.iter().map(|driver| &driver.kind).collect()
}

/// The driver of this name; very old files name upstream's classes instead.
pub(super) fn named(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.kind.is_called(name))
}

/// Whether a URL is of a kind of store whose locations `[import_filtering_opts]` must allow, whatever letters its scheme has. Such a
/// store need not be configured.
pub fn is_filtered(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let filtered = DRIVERS.iter().filter(|driver| driver.is_filtered);
    filtered.flat_map(|driver| driver.kind.schemes).any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Whether a URL is of a kind of store from which nothing can be removed, by how it begins (upstream: `startswith("http")`). Such
/// a store need not be configured.
pub fn is_read_only(url: &str) -> bool {
    let read_only = DRIVERS.iter().filter(|driver| driver.kind.is_read_only);
    read_only.flat_map(|driver| driver.kind.schemes).any(|scheme| url.starts_with(scheme))
}

/// The names of the drivers that this version has, for messages.
pub(super) fn available() -> String {
    let names: Vec<_> = DRIVERS.iter().filter(|driver| driver.make.is_some()).map(|driver| driver.kind.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

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
    fn drivers_share_no_option_and_no_folder() {
        let mut names: Vec<_> = DRIVERS.iter().flat_map(|driver| driver.kind.option_names()).collect();
        names.extend(["default_backend", "default_store", "stores", "store_description", "weight"]);
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let folders = DRIVERS.iter().filter_map(|driver| driver.kind.folder.map(|folder| (driver, folder)));
        for (driver, folder) in folders.clone() {
            assert!(driver.kind.option_names().any(|name| name == folder), "{folder}");
        }
        assert_eq!(folders.count(), 1, "the service keeps what is its own in one kind of store");
    }

    /// As the configuration sees to for all others: `an_option_without_effect_says_so`.
    #[test]
    fn an_option_has_an_effect_or_says_that_it_has_none() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"), &mut text);
        for driver in &DRIVERS {
            let of_sections = driver.kind.sections.iter().flat_map(|(_, options)| *options);
            for info in driver.kind.options.iter().chain(of_sections) {
                assert_eq!(info.flaw(), None);
                let name = info.name();
                let read = format!("options.{name}");
                let mut behind = text.split(&read).skip(1).filter_map(|rest| rest.chars().next());
                let is_used = behind.any(|next| !next.is_alphanumeric() && next != '_');
                assert_eq!(info.is_without_effect(), driver.make.is_none(), "{name}");
                assert!(is_used || driver.make.is_none(), "{name} is read by nobody");
            }
        }
    }

    /// Without tests.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let file = std::fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]\nmod tests").next().unwrap());
            }
        }
    }

    #[test]
    fn the_kind_of_store_is_told_by_the_url() {
        for (url, filtered, read_only) in [
            ("http://x", true, true),
            ("https://web/a", true, true),
            ("HTTPS:x", true, false),
            ("httpx://x", false, true),
            ("file:///http:", false, false),
            ("rbd://a/b/c/d", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_filtered(url), is_read_only(url)), (filtered, read_only), "{url}");
        }
    }
}
