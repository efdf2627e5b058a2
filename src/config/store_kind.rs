//! What the configuration is told of the drivers of stores.

use std::fmt;

use super::driver_options::DriverOptions;
use super::option::OptionInfo;

/// What the configuration has to know of a kind of store. Which kinds there are is not its business: whoever has drivers gives
/// the list to [`super::Config::load`].
pub struct StoreKind {
    /// As in `enabled_backends` and `stores`.
    pub name: &'static str,
    /// The class that very old files name instead (glance_store's entry points).
    pub old_name: &'static str,
    /// The schemes of its locations' URLs, in lower case.
    pub schemes: &'static [&'static str],
    /// Images are only read from there, and clients are told so (`read-only` in `info/stores`).
    pub is_read_only: bool,
    /// Its options, which stand in `[glance_store]`, or in a store's own section.
    pub(crate) options: &'static [OptionInfo],
    /// Sections of the file that are its own beside that, and their options; all of its stores share them.
    pub(crate) sections: &'static [(&'static str, &'static [OptionInfo])],
    /// The option that names the folder of a store, for the kind in which the service keeps what is its own.
    pub folder: Option<&'static str>,
    /// The option that leaves certificates unverified, where one is in force.
    pub unverified: fn(&DriverOptions) -> Option<&'static str>,
}

impl fmt::Debug for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreKind").field(&self.name).finish()
    }
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

    /// The names of its options.
    pub fn option_names(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().map(|info| info.name)
    }

    /// Whether all that a store of this kind is told is the same in both.
    pub fn is_told_the_same(&self, one: &DriverOptions, other: &DriverOptions) -> bool {
        self.options.iter().all(|info| one.text_of(info) == other.text_of(info))
    }
}
