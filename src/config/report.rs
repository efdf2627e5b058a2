//! What `--check-config` prints.

use std::io::{self, Write};

use super::Loaded;
use super::option::{Standing, shown};
use super::problem::Origin;
use super::reader::one_line;
use super::schema;

impl Loaded {
    /// Writes each option in force and where it comes from: `[section] option = value  # source`. Secrets are masked.
    /// Options without effect are left out unless they are set.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn report(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut result = Ok(());
        self.config.each(&mut |section, info, text| {
            let origin = self.origin(section, info.name);
            let idle = info.rules.tier == 3 || info.rules.standing == Standing::Removed;
            if result.is_err() || idle && !origin.is_set() {
                return;
            }
            let value = shown(info, text).map_or_else(|| "<None>".to_owned(), |text| one_line(&text));
            result = writeln!(out, "[{section}] {} = {value}  # {origin}", info.name);
        });
        result
    }

    /// Where the value of an option comes from; for a store, `section` is its id.
    pub fn origin(&self, section: &str, option: &str) -> Origin {
        let known = self.origins.get(&(schema::normal_section(section), option.to_owned()));
        known.cloned().unwrap_or_else(|| Origin::from(Origin::DEFAULT))
    }
}
