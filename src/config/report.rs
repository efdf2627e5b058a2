//! What `--check-config` prints.

use std::fmt::Display;
use std::io::{self, Write};

use super::Loaded;
use super::option::{Lifecycle, shown};
use super::problem::Origin;
use super::reader::{Origins, one_line, origin};

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
            let idle = info.rules.tier == 3 || info.rules.standing == Lifecycle::Removed;
            if result.is_err() || idle && !origin.is_set() {
                return;
            }
            let value = shown(info, text).map_or_else(|| "<None>".to_owned(), |text| one_line(&text));
            result = writeln!(out, "[{section}] {} = {value}  # {origin}", info.name);
        });
        result
    }

    /// Words that begin with `[section] option`, with the place that sets the option before them.
    pub fn locate(&self, words: &impl Display) -> String {
        locate(&self.config.origins, words)
    }

    /// Where the value of an option comes from; for a store, `section` is its id.
    pub fn origin(&self, section: &str, option: &str) -> Origin {
        self.config.origin(section, option)
    }
}

/// As [`Loaded::locate`], where only the origins are left.
pub fn locate(origins: &Origins, words: &impl Display) -> String {
    let words = words.to_string();
    let named = words.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map(|(section, rest)| {
        let end = rest.find(|c: char| !(c == '_' || c.is_ascii_alphanumeric())).unwrap_or(rest.len());
        origin(origins, section, rest.get(..end).unwrap_or_default())
    });
    match named {
        Some(origin) => format!("{}{words}", origin.prefix()),
        None => words,
    }
}
