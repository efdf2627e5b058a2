//! Takes typed values out of the merged layers: substitution, credentials, checks; gathers all that is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::driver_options::DriverOptions;
use super::layers::Merged;
use super::option::{Lifecycle, OptionInfo, Rules, Values};
use super::problem::{Origin, Problem, Warning};
use super::schema::{self, Schema};
use super::secret::{MASK, Secret, mask_pairs, mask_url};
use super::substitute::{Known, substitute};
use super::value::{OptionValue, Rejected};

/// Where each option in force comes from; options that nothing sets are absent.
pub type Origins = BTreeMap<(String, String), Origin>;

/// Reads options one after the other.
pub(super) struct Reader<'a> {
    known: Known<'a>,
    credentials: Option<&'a Path>,
    /// Stands for the source of what nothing sets.
    place: Origin,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    pub(super) origins: Origins,
}

/// Reads the options of one section.
pub(super) struct SectionReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// Where an option is looked for, first to last.
    chain: Vec<String>,
    /// Where the options of the authentication plugin are looked for instead.
    plugin: Option<String>,
}

/// What somebody wrote for an option.
struct Found {
    section: String,
    written: String,
    /// The texts with all that they refer to in its place, or why that cannot be.
    expanded: Result<Vec<String>, String>,
}

impl<'a> Reader<'a> {
    /// `credentials`: the directory that systemd put the service's credentials in. `place`: where an option would be set
    /// that is missing.
    pub(super) fn new(schema: &'a Schema, merged: &'a Merged, credentials: Option<&'a Path>, place: Origin) -> Self {
        let known = Known { schema, merged };
        Self { known, credentials, place, problems: Vec::new(), warnings: Vec::new(), origins: Origins::new() }
    }

    /// A reader for a section, whose options are looked for in each section of `chain`. The first one names them.
    pub(super) fn section(&mut self, chain: Vec<String>) -> SectionReader<'_, 'a> {
        SectionReader { reader: self, chain, plugin: None }
    }

    /// Notes that an option cannot stay as it is.
    pub(super) fn refuse(&mut self, section: &str, option: &str, reason: impl Into<String>) {
        let origin = Some(self.origin(section, option)).filter(Origin::is_set).unwrap_or_else(|| self.place.clone());
        let (section, option) = (section.to_owned(), option.to_owned());
        self.problems.push(Problem::Refused { origin, section, option, reason: reason.into() });
    }

    /// Notes that a value is none that its option can have: `allowed` says which.
    pub(super) fn reject(&mut self, section: &str, option: &str, value: &str, allowed: String) {
        let origin = self.origin(section, option);
        let (section, option, value) = (section.to_owned(), option.to_owned(), one_line(value));
        self.problems.push(Problem::Value { origin, section, option, value, allowed });
    }

    /// Notes something about an option.
    pub(super) fn warn(&mut self, section: &str, option: &str, message: impl std::fmt::Display) {
        let origin = self.origin(section, option);
        self.warnings.push(Warning { origin, message: format!("[{section}] {option} {message}") });
    }

    /// Notes something about a section that is set.
    pub(super) fn warn_of_section(&mut self, section: &str, message: impl std::fmt::Display) {
        let first = self.origins.iter().find(|((name, _), origin)| name == section && origin.is_set());
        let origin = first.map_or_else(|| Origin::from(Origin::DEFAULT), |(_, origin)| origin.clone());
        self.warnings.push(Warning { origin, message: format!("[{section}] {message}") });
    }

    /// Where the value in force comes from.
    pub(super) fn origin(&self, section: &str, option: &str) -> Origin {
        origin(&self.origins, section, option)
    }

    /// Notes that the value of an option was found by looking for it.
    pub(super) fn found(&mut self, section: &str, option: &str) {
        self.origins.insert((section.to_owned(), option.to_owned()), Origin::from(Origin::FOUND));
    }

    /// Whether somebody set the option.
    pub(super) fn is_set(&self, section: &str, option: &str) -> bool {
        self.origin(section, option).is_set()
    }
}

/// Where the value of an option comes from; for a store, `section` is its id.
pub(super) fn origin(origins: &Origins, section: &str, option: &str) -> Origin {
    let known = origins.get(&(schema::normal_section(section), option.to_owned()));
    known.cloned().unwrap_or_else(|| Origin::from(Origin::DEFAULT))
}

/// Where a value is not to be used, the reason is noted.
impl Values for SectionReader<'_, '_> {
    fn option<T: OptionValue>(&mut self, info: &'static OptionInfo, default: impl FnOnce() -> T) -> T {
        // Every option has an instance of this function: what does not depend on its type is elsewhere.
        self.look_up(info).and_then(|found| self.parse(info, found, T::parse)).unwrap_or_else(default)
    }
}

impl SectionReader<'_, '_> {
    /// Looks for options of the authentication plugin in this section instead.
    pub(super) fn with_plugin_section(self, section: Option<String>) -> Self {
        Self { plugin: section, ..self }
    }

    /// What the sections say to drivers, which have declared these options.
    pub(super) fn driver_options(&mut self, declared: Vec<&'static OptionInfo>) -> DriverOptions {
        DriverOptions::of(declared, |info| self.look_up(info).and_then(|found| self.parse(info, found, usable)))
    }

    /// What the first section that has the option says.
    fn look_up(&mut self, info: &'static OptionInfo) -> Option<Found> {
        let chain = match &self.plugin {
            Some(plugin) if info.rules.plugin => vec![plugin.clone()],
            _ => self.chain.clone(),
        };
        let (texts, origins) = chain.iter().find_map(|section| self.reader.known.merged.texts(section, info.name))?;
        let counting = if info.rules.multi { 0 } else { texts.len() - 1 };
        let (texts, origin) = (texts.get(counting..)?, Origin::of_all(origins.get(counting..)?));
        let section = self.chain.first().map_or("", String::as_str).to_owned();
        self.note(&section, info, &origin);

        let written = texts.last().map_or("", String::as_str).to_owned();
        let expanded = texts.iter().map(|text| self.expand(info, &chain, text)).collect();
        Some(Found { section, written, expanded })
    }

    fn parse<T>(
        &mut self,
        info: &'static OptionInfo,
        found: Found,
        parse: impl Fn(&[String], &OptionInfo) -> Result<Option<T>, Rejected>,
    ) -> Option<T> {
        let parsed = match &found.expanded {
            Ok(texts) => parse(texts, info).map_err(|rejected| rejected.0),
            Err(reason) => Err(reason.clone()),
        };
        match parsed {
            Ok(Some(value)) => return Some(value),
            Ok(None) => self.reader.warn(&found.section, info.name, "is empty, its default is used"),
            Err(allowed) => self.reject(info, found, allowed),
        }
        None
    }

    fn reject(&mut self, info: &'static OptionInfo, found: Found, allowed: String) {
        let Found { section, written, .. } = found;
        let value = match info.rules {
            Rules { secret: true, .. } => MASK.to_owned(),
            Rules { urls: true, .. } => mask_pairs(&written),
            _ => mask_url(&written),
        };
        self.reader.reject(&section, info.name, &value, allowed);
    }

    fn note(&mut self, section: &str, info: &'static OptionInfo, origin: &Origin) {
        self.reader.origins.insert((section.to_owned(), info.name.to_owned()), origin.clone());
        if !origin.is_set() {
            return;
        }
        if info.rules.standing == Lifecycle::Removed {
            self.reader.warn(section, info.name, format_args!("has no effect any more: {}", info.help));
        } else if info.rules.tier == 3 {
            self.reader.warn(section, info.name, "has no effect in this service");
        } else if let Some(why) = info.rules.idle {
            self.reader.warn(section, info.name, format_args!("has no effect{why}"));
        } else if info.rules.standing == Lifecycle::Deprecated {
            self.reader.warn(section, info.name, "is deprecated upstream; it still works");
        }
    }

    fn expand(&self, info: &OptionInfo, chain: &[String], text: &str) -> Result<String, String> {
        let text = substitute(self.reader.known, chain, text).map_err(|error| {
            // What follows the dollar may be a part of the secret.
            if info.rules.secret { "refers to no option; write $$ for a dollar".to_owned() } else { error }
        })?;
        self.credential(info, text)
    }

    /// `credential:NAME` stands for what systemd passes under that name (systemd.exec(5), `LoadCredential=`): the text
    /// of the file for a secret, its path for a file option.
    fn credential(&self, info: &OptionInfo, text: String) -> Result<String, String> {
        let rules = &info.rules;
        let Some(name) = text.strip_prefix("credential:").filter(|_| rules.secret || rules.file) else {
            return Ok(text);
        };
        let path = self.credential_path(name)?;
        if rules.file {
            return Ok(path.display().to_string());
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("names a credential that cannot be read: {}: {error}", path.display()))?;
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    fn credential_path(&self, name: &str) -> Result<PathBuf, String> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err("must name a credential: credential:NAME, without slashes".to_owned());
        }
        match self.reader.credentials {
            Some(directory) => Ok(directory.join(name)),
            None => Err("names a credential, but CREDENTIALS_DIRECTORY is not set; see LoadCredential= in \
                         systemd.exec(5)"
                .to_owned()),
        }
    }
}

/// The texts as they are, if the option's type takes them; `None` where its default stands.
fn usable(texts: &[String], info: &OptionInfo) -> Result<Option<Vec<Secret>>, Rejected> {
    let written = (info.check)(texts, info)?;
    Ok(written.map(|_| texts.iter().map(|text| Secret::from(text.as_str())).collect()))
}

/// Keeps a message, and a line of the dump, on one line.
pub(super) fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}
