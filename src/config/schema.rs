//! Which options exist: finds what a name in a file stands for, old names and spellings included.

use std::collections::HashMap;

use super::option::{OptionInfo, Options, Section};
use super::sections::{GlanceStoreSection, KeystoneAuthtokenSection, StoreCommonSection, TABLES};
use super::store_kind::StoreKind;

/// Values for stores that do not set them themselves.
pub(super) const BACKEND_DEFAULTS: &str = "backend_defaults";

/// Sections of upstream's libraries without a meaning here.
const UNUSED_SECTIONS: [&str; 2] = ["profiler_jaeger", "profiler_otlp"];

/// A section of the file with options that it has. A section may have several tables.
type Table = (&'static str, &'static [OptionInfo]);

/// All options: those of the configuration itself, and those that the drivers of stores have declared.
pub(super) struct Schema {
    tables: Vec<Table>,
    current: HashMap<(&'static str, &'static str), &'static OptionInfo>,
    /// One option may stand at the place of a former name of another one.
    former: HashMap<&'static str, HashMap<&'static str, Vec<Canonical>>>,
    of_stores: HashMap<&'static str, &'static OptionInfo>,
}

/// Where an option belongs that has former names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canonical {
    pub(super) section: &'static str,
    pub(super) info: &'static OptionInfo,
}

/// oslo.config compares section names without regard to case, but for `DEFAULT`.
pub(super) fn normal_section(name: &str) -> String {
    if name == "DEFAULT" { name.to_owned() } else { name.to_lowercase() }
}

/// Whether the section is known but of no use here.
pub(super) fn is_unused(section: &str) -> bool {
    UNUSED_SECTIONS.contains(&section)
}

impl Schema {
    /// With the options of these kinds of stores.
    pub(super) fn new(kinds: &[&'static StoreKind]) -> Self {
        let mut tables = TABLES.to_vec();
        for kind in kinds {
            tables.push((GlanceStoreSection::NAME, kind.options));
            tables.extend(kind.sections);
        }
        let of_kinds = kinds.iter().flat_map(|kind| kind.options);
        let of_stores = StoreCommonSection::OPTIONS.iter().chain(of_kinds).map(|info| (info.name, info)).collect();
        let (current, former) = (current(&tables), former(&tables));
        Self { tables, current, former, of_stores }
    }

    /// Whether the section has options of its own, rather than those of a store.
    pub(super) fn is_fixed(&self, section: &str) -> bool {
        self.tables.iter().any(|(name, _)| *name == section)
    }

    /// The option of this section and name. A section that is not fixed has the options of a store.
    pub(super) fn option(&self, section: &str, name: &str) -> Option<&'static OptionInfo> {
        if self.is_fixed(section) { self.current.get(&(section, name)).copied() } else { self.store_option(name) }
    }

    /// As [`Self::option`], or that of a store: a store's id may be the name of a section of ours, which then has both.
    pub(super) fn any_option(&self, section: &str, name: &str) -> Option<&'static OptionInfo> {
        self.option(section, name).or_else(|| self.store_option(name))
    }

    /// The canonical options of a former name.
    pub(super) fn former(&self, section: &str, name: &str) -> &[Canonical] {
        self.former.get(section).and_then(|names| names.get(name)).map_or(&[], Vec::as_slice)
    }

    /// An option that a store's own section can have.
    pub(super) fn store_option(&self, name: &str) -> Option<&'static OptionInfo> {
        self.of_stores.get(name).copied()
    }

    /// The current name of an option in a section that is not fixed: a store's, or the one named by `auth_section`.
    pub(super) fn name_in_free_section(&self, name: &str) -> Option<&'static OptionInfo> {
        let of = |section| self.former(section, name).first().map(|canonical| canonical.info);
        self.store_option(name).or_else(|| of(GlanceStoreSection::NAME)).or_else(|| self.plugin_option(name))
    }

    /// An option that the section named by `auth_section` can have.
    pub(super) fn plugin_option(&self, name: &str) -> Option<&'static OptionInfo> {
        let section = KeystoneAuthtokenSection::NAME;
        let current = self.current.get(&(section, name)).copied();
        let former = || self.former(section, name).first().map(|canonical| canonical.info);
        current.or_else(former).filter(|info| info.rules.plugin)
    }
}

fn current(tables: &[Table]) -> HashMap<(&'static str, &'static str), &'static OptionInfo> {
    tables.iter().flat_map(|(section, options)| options.iter().map(|info| ((*section, info.name), info))).collect()
}

fn former(tables: &[Table]) -> HashMap<&'static str, HashMap<&'static str, Vec<Canonical>>> {
    let mut former: HashMap<_, HashMap<_, Vec<Canonical>>> = HashMap::new();
    for &(section, options) in tables {
        for info in options {
            for &(old_section, old_name) in info.rules.old {
                let old_section = if old_section.is_empty() { section } else { old_section };
                former.entry(old_section).or_default().entry(old_name).or_default().push(Canonical { section, info });
            }
        }
    }
    former
}
