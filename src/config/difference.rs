//! What a reload changes.

use std::collections::BTreeMap;
use std::fmt;

use super::option::{OptionInfo, Section as _, shown};
use super::reader::one_line;
use super::{Config, DefaultSection, ServiceSection};

/// An option that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionChange {
    /// Section of the file; a store's id for its own options.
    pub section: String,
    /// Name of the option.
    pub option: &'static str,
    /// What it was, secrets masked; `None` where it was unset.
    pub old: Option<String>,
    /// What it is now.
    pub new: Option<String>,
    /// What must happen before the change is in force.
    pub needs: Needs,
}

/// What must happen before a change is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the reload is enough.
    Reload,
    /// Under systemd, `systemctl daemon-reload` and a restart of the socket unit, which owns the address. A service that
    /// binds its own socket does it itself.
    Socket,
    /// A restart; under systemd also `systemctl daemon-reload`.
    Restart,
}

impl OptionChange {
    /// Whether a reload alone brings it into force. `inherited`: the listening socket is systemd's.
    pub fn is_live(&self, inherited: bool) -> bool {
        match self.needs {
            Needs::Reload => true,
            Needs::Socket => !inherited,
            Needs::Restart => false,
        }
    }
}

impl fmt::Display for OptionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.as_deref().map_or_else(|| "<None>".to_owned(), one_line);
        write!(f, "[{}] {}: {} → {}", self.section, self.option, text(&self.old), text(&self.new))
    }
}

impl Config {
    /// The options in which `new` is not what `old` was; those of a store that came or went are among them.
    pub fn difference(old: &Self, new: &Self) -> Vec<OptionChange> {
        let (before, after) = (old.values(), new.values());
        let mut changes = Vec::new();
        for (key, (info, value)) in &after {
            let earlier = before.get(key).and_then(|(_, value)| value.clone());
            if earlier != *value {
                changes.push(change(key, info, earlier, value.clone()));
            }
        }
        for (key, (info, value)) in &before {
            if !after.contains_key(key) && value.is_some() {
                changes.push(change(key, info, value.clone(), None));
            }
        }
        changes
    }

    fn values(&self) -> BTreeMap<(String, &'static str), (&'static OptionInfo, Option<String>)> {
        let mut values = BTreeMap::new();
        self.each(&mut |section, info, text| {
            values.insert((section.to_owned(), info.name), (info, text));
        });
        values
    }
}

fn change(
    (section, option): &(String, &'static str),
    info: &OptionInfo,
    old: Option<String>,
    new: Option<String>,
) -> OptionChange {
    let needs = match (section.as_str(), *option) {
        (DefaultSection::NAME, "bind_host" | "bind_port" | "backlog" | "tcp_keepidle")
        | (ServiceSection::NAME, "listen_unix") => Needs::Socket,
        (DefaultSection::NAME, "workers") | (ServiceSection::NAME, "state_directory") => Needs::Restart,
        _ => Needs::Reload,
    };
    OptionChange { section: section.clone(), option, old: shown(info, old), new: shown(info, new), needs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::option::{Options as _, options, tier1};
    use crate::config::{DriverOptions, Secret, StoreSection};

    options! {
        /// Options of a driver.
        DiskOptions {
            /// Where images lie.
            disk_folder: String = "/images", tier1();
        }
    }

    fn store() -> StoreSection {
        let options = DriverOptions::of(DiskOptions::OPTIONS.iter().collect(), |_| None);
        StoreSection { driver: "disk".to_owned(), options, ..StoreSection::default() }
    }

    #[test]
    fn changes_are_named_and_secrets_masked() {
        let old = Config::default();
        let mut new = old.clone();
        assert_eq!(Config::difference(&old, &new), []);

        new.default.debug = true;
        new.default.bind_port = 9393;
        new.default.workers = Some(3);
        new.database.connection = Some(Secret::from("mysql://glance:p4ss@db/glance"));
        new.stores.insert("fast".to_owned(), StoreSection { weight: 3, ..store() });
        let changes = Config::difference(&old, &new);
        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        for line in [
            "[DEFAULT] debug: false → true",
            "[DEFAULT] bind_port: 9292 → 9393",
            "[DEFAULT] workers: <None> → 3",
            "[database] connection: <None> → mysql://glance:****@db/glance",
            "[fast] weight: <None> → 3",
            "[fast] disk_folder: <None> → /images",
        ] {
            assert!(lines.iter().any(|known| known == line), "{line} not in {lines:#?}");
        }
        let live = |option: &str, inherited| changes.iter().find(|c| c.option == option).unwrap().is_live(inherited);
        assert!(live("debug", true) && live("bind_port", false) && live("connection", true));
        assert!(!live("bind_port", true) && !live("workers", true) && !live("workers", false));
    }

    #[test]
    fn two_passwords_differ_though_they_look_alike() {
        let mut old = Config::default();
        old.keystone_authtoken.password = Some("one".into());
        let mut new = old.clone();
        new.keystone_authtoken.password = Some("two".into());
        let changes = Config::difference(&old, &new);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].old.as_deref(), changes[0].new.as_deref()), (Some("****"), Some("****")));
    }

    #[test]
    fn a_store_that_went_is_seen() {
        let mut old = Config::default();
        old.stores.insert("slow".to_owned(), store());
        let changes = Config::difference(&old, &Config::default());
        assert!(changes.iter().all(|change| change.section == "slow" && change.new.is_none()));
        assert!(changes.iter().any(|change| change.option == "disk_folder"));
    }
}
