//! Limits on what an image may hold and an owner may store. A negative count means that there is no limit.

use super::Error;
use crate::config::Config;

/// Names that begin so belong to the service; they do not count against a limit and no client may set them.
pub const RESERVED_NAMESPACE: &str = "os_glance";

/// The limits of one configuration.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    properties: i64,
    tags: i64,
    members: i64,
    locations: i64,
    /// Bytes of one image.
    pub image_size: u64,
    /// Bytes of all images of an owner; `None`: no limit.
    pub owner_storage: Option<i64>,
}

impl Limits {
    /// `user_storage_quota` was checked when the configuration was read; should it not parse all the same, nothing may be stored.
    pub(super) fn new(config: &Config) -> Self {
        let options = &config.default;
        Self {
            properties: options.image_property_quota,
            tags: options.image_tag_quota,
            members: options.image_member_quota,
            locations: options.image_location_quota,
            image_size: u64::try_from(options.image_size_cap).unwrap_or(0),
            owner_storage: match parse_storage_quota(&options.user_storage_quota) {
                Some(0) => None,
                Some(bytes) => Some(bytes),
                None => Some(0),
            },
        }
    }

    /// # Errors
    /// [`Error::TooMany`]
    pub(super) fn check_properties<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        let attempted = names.filter(|name| !name.starts_with(RESERVED_NAMESPACE)).count();
        check("properties", attempted, self.properties)
    }

    /// # Errors
    /// [`Error::TooMany`]
    pub(super) fn check_tags(&self, attempted: usize) -> Result<(), Error> {
        check("tags", attempted, self.tags)
    }

    /// # Errors
    /// [`Error::TooMany`]
    pub(super) fn check_locations(&self, attempted: usize) -> Result<(), Error> {
        check("locations", attempted, self.locations)
    }

    /// # Errors
    /// [`Error::TooMany`]
    pub(super) fn check_members(&self, attempted: usize) -> Result<(), Error> {
        check("members for this image", attempted, self.members)
    }
}

fn check(what: &'static str, attempted: usize, maximum: i64) -> Result<(), Error> {
    let Ok(limit) = usize::try_from(maximum) else { return Ok(()) };
    if attempted > limit { Err(Error::TooMany { what, attempted, maximum }) } else { Ok(()) }
}

/// Bytes of a text like `100GB`: digits, then B, KB, MB, GB, TB or nothing; the units are binary
/// (upstream: `glance/api/common.py`, `get_remaining_quota`). `None` if it is not of that form or over 2^63.
fn parse_storage_quota(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit {
        "" | "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1_i64 << 40,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::db::reserved::SERVICE_PROPERTIES;
    use crate::store::{STAGING_STORE, TASKS_STORE};

    #[test]
    fn storage_quota_is_read_as_upstream_does() {
        let table = [
            ("0", Some(0)),
            ("100", Some(100)),
            ("100B", Some(100)),
            ("2KB", Some(2048)),
            ("3MB", Some(3 << 20)),
            ("1GB", Some(1 << 30)),
            ("2TB", Some(2 << 40)),
            ("", None),
            ("GB", None),
            ("1 GB", None),
            ("1gb", None),
            ("1PB", None),
            ("-1", None),
            ("9999999999999999999", None),
            ("9223372036854775807KB", None),
        ];
        for (text, wanted) in table {
            assert_eq!(parse_storage_quota(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn the_limit_itself_is_allowed_and_a_negative_one_is_none() {
        assert!(check("tags", 3, 3).is_ok());
        assert!(check("tags", 1_000_000, -1).is_ok());
        let error = check("tags", 4, 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The limit has been exceeded on the number of allowed image tags. Attempted: 4, Maximum: 3"
        );
        assert!(check("tags", 1, 0).is_err());
    }

    /// The names in the reserved namespace that stand in the sources, tests and the list of the properties excepted.
    fn reserved_names(folder: &Path, found: &mut BTreeSet<String>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("tests") {
                reserved_names(&path, found);
            } else if path.is_file() && !path.ends_with("tests.rs") && !path.ends_with("db/reserved.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let literals = product.split("\"os_glance_").skip(1).filter_map(|rest| rest.split('"').next());
                let is_name =
                    |name: &&str| !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
                found.extend(literals.filter(is_name).map(|name| format!("os_glance_{name}")));
            }
        }
    }

    #[test]
    fn names_of_the_service_stand_where_the_database_knows_them() {
        let mut found = BTreeSet::new();
        reserved_names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        // Of stores, and a key of the metadata of a location.
        let others = [STAGING_STORE, TASKS_STORE, "os_glance_parallel_import"];
        assert_eq!(found, others.map(str::to_owned).into());
        assert!(SERVICE_PROPERTIES.iter().all(|name| name.starts_with(RESERVED_NAMESPACE)));
    }

    #[test]
    fn names_of_the_service_do_not_count() {
        let config = Config {
            default: crate::config::DefaultSection { image_property_quota: 1, ..Default::default() },
            ..Config::default()
        };
        let limits = Limits::new(&config);
        assert!(limits.check_properties(["a", "os_glance_x", "os_glance_y"].into_iter()).is_ok());
        assert!(limits.check_properties(["a", "b"].into_iter()).is_err());
    }
}
