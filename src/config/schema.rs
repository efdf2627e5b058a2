//! Which options exist: finds what a name in a file stands for, old names and spellings included.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::option::{OptionInfo, Section};
use super::sections::{GlanceStoreSection, KeystoneAuthtokenSection, StoreCommonSection, TABLES};

/// Values for stores that do not set them themselves.
pub(super) const BACKEND_DEFAULTS: &str = "backend_defaults";

/// Sections of upstream's libraries without a meaning here.
const UNUSED_SECTIONS: [&str; 2] = ["profiler_jaeger", "profiler_otlp"];

type Table = HashMap<(&'static str, &'static str), &'static OptionInfo>;

static CURRENT: LazyLock<Table> = LazyLock::new(|| {
    TABLES.iter().flat_map(|(section, options)| options.iter().map(|info| ((*section, info.name), info))).collect()
});

/// One option may stand at the place of a former name of another one.
static FORMER: LazyLock<HashMap<&'static str, HashMap<&'static str, Vec<Canonical>>>> = LazyLock::new(|| {
    let mut former: HashMap<_, HashMap<_, Vec<Canonical>>> = HashMap::new();
    for (section, options) in TABLES {
        for info in *options {
            for (old_section, old_name) in info.rules.old {
                let old_section = if old_section.is_empty() { section } else { old_section };
                former.entry(*old_section).or_default().entry(*old_name).or_default().push(Canonical { section, info });
            }
        }
    }
    former
});

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

/// Whether the section has options of its own, rather than those of a store.
pub(super) fn is_fixed(section: &str) -> bool {
    TABLES.iter().any(|(name, _)| *name == section)
}

/// Whether the section is known but of no use here.
pub(super) fn is_unused(section: &str) -> bool {
    UNUSED_SECTIONS.contains(&section)
}

/// The option of this section and name. A section that is not fixed has the options of a store.
pub(super) fn option(section: &str, name: &str) -> Option<&'static OptionInfo> {
    if is_fixed(section) { CURRENT.get(&(section, name)).copied() } else { store_option(name) }
}

/// As [`option`], or that of a store: a store's id may be the name of a section of ours, which then has both.
pub(super) fn any_option(section: &str, name: &str) -> Option<&'static OptionInfo> {
    option(section, name).or_else(|| store_option(name))
}

/// The canonical options of a former name.
pub(super) fn former(section: &str, name: &str) -> &'static [Canonical] {
    FORMER.get(section).and_then(|names| names.get(name)).map_or(&[], Vec::as_slice)
}

/// An option that a store's own section can have.
pub(super) fn store_option(name: &str) -> Option<&'static OptionInfo> {
    CURRENT
        .get(&(GlanceStoreSection::NAME, name))
        .copied()
        .or_else(|| StoreCommonSection::OPTIONS.iter().find(|info| info.name == name))
}

/// The current name of an option in a section that is not fixed: a store's, or the one named by `auth_section`.
pub(super) fn name_in_free_section(name: &str) -> Option<&'static OptionInfo> {
    let of = |section| former(section, name).first().map(|canonical| canonical.info);
    store_option(name).or_else(|| of(GlanceStoreSection::NAME)).or_else(|| plugin_option(name))
}

/// An option that the section named by `auth_section` can have.
pub(super) fn plugin_option(name: &str) -> Option<&'static OptionInfo> {
    let section = KeystoneAuthtokenSection::NAME;
    let current = CURRENT.get(&(section, name)).copied();
    current.or_else(|| former(section, name).first().map(|canonical| canonical.info)).filter(|info| info.rules.plugin)
}
