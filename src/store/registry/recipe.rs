//! What a store is made from, so that a reload can keep the one that is there.

use super::super::driver::{Driver, Setup};
use crate::config::{DriverOptions, FileStates, ImportFilteringOptsSection};

/// Everything that makes a store what it is.
pub(super) struct Recipe {
    driver: &'static Driver,
    /// As logs and errors call it.
    name: String,
    /// As locations have it.
    id: Option<String>,
    options: DriverOptions,
    /// Where its locations must pass the filter.
    filter: Option<ImportFilteringOptsSection>,
    files: FileStates,
}

impl Recipe {
    /// `None` for a kind of store of which nothing is worth keeping. Looks at files, so it blocks.
    pub(super) fn of(driver: &'static Driver, setup: &Setup<'_>, filter: &ImportFilteringOptsSection) -> Option<Self> {
        let files = driver.lasts?;
        Some(Self {
            driver,
            name: setup.name.to_owned(),
            id: setup.id.map(str::to_owned),
            options: setup.options.clone(),
            filter: driver.is_filtered.then(|| filter.clone()),
            files: FileStates::read(files(setup.options)),
        })
    }
}

impl PartialEq for Recipe {
    /// Options of other kinds of stores do not count: in single-store mode all share a section.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.driver, other.driver)
            && (&self.name, &self.id, &self.filter, &self.files)
                == (&other.name, &other.id, &other.filter, &other.files)
            && self.driver.kind.is_told_the_same(&self.options, &other.options)
    }
}
