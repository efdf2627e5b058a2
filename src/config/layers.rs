//! The layers of a configuration, as sources of the `config` crate: embedded defaults, files, environment, command line.
//!
//! The merged tree is section → option → array of texts, each text with its origin. Files append to the array, so that
//! an option given in several files has all its values (the last one counts unless it is multi-valued); the environment
//! and the command line replace it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Map, Source, Value, ValueKind};

use super::ini::Document;
use super::option::Section as _;
use super::problem::{Origin, Warning};
use super::schema::{self, Schema};

/// One value on its way into the tree.
#[derive(Clone)]
struct Setting {
    section: String,
    option: String,
    value: String,
    origin: String,
}

/// A layer: some settings, each put over or behind what is there already.
#[derive(Clone)]
pub(super) struct Layer {
    name: String,
    settings: Vec<Setting>,
    append: bool,
}

/// The values may be secrets: only the layer's name is shown.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layer").field(&self.name).finish()
    }
}

impl Layer {
    /// Values in place of the built-in ones.
    pub(super) fn embedded(settings: Vec<(&str, &str, String)>) -> Self {
        Self::of(Origin::EMBEDDED, settings)
    }

    /// Values of the program's arguments.
    pub(super) fn command_line(settings: Vec<(&str, &str, String)>) -> Self {
        Self::of(Origin::COMMAND_LINE, settings)
    }

    fn of(name: &str, settings: Vec<(&str, &str, String)>) -> Self {
        let setting = |(section, option, value): (&str, &str, String)| Setting {
            section: section.to_owned(),
            option: option.to_owned(),
            value,
            origin: name.to_owned(),
        };
        Self { name: name.to_owned(), settings: settings.into_iter().map(setting).collect(), append: false }
    }

    /// `OS_SECTION__OPTION`, both in capitals; current names only (`oslo_config/sources/_environment.py`).
    pub(super) fn environment(environment: &BTreeMap<String, String>) -> Self {
        let setting = |(name, value): (&String, &String)| {
            let (section, option) = of_variable(name)?;
            Some(Setting { section, option, value: value.clone(), origin: format!("environment {name}") })
        };
        let settings = environment.iter().filter_map(setting).collect();
        Self { name: "environment".to_owned(), settings, append: false }
    }

    /// The values of a file under their current names. Where a file gives an option under its current and a former
    /// name, the current one counts (`_Namespace._get_file_value` of `oslo_config/cfg.py`).
    pub(super) fn file(schema: &Schema, path: &Path, document: &Document, warnings: &mut Vec<Warning>) -> Self {
        let mut settings = Vec::new();
        let mut under_old_names = Vec::new();
        for entry in &document.entries {
            let section = schema::normal_section(&entry.section);
            let origin = format!("{}:{}", path.display(), entry.line);
            let setting = |section: &str, option: &str| Setting {
                section: section.to_owned(),
                option: option.to_owned(),
                value: entry.value.clone(),
                origin: origin.clone(),
            };
            let name = entry.key.as_str();
            let fixed = schema.is_fixed(&section);
            let current = schema.option(&section, name).filter(|_| fixed);
            let canonical = schema.former(&section, name);
            if !fixed || (current.is_none() && canonical.is_empty()) {
                // Whether it is a store's section as well, or instead, is known only when all is read.
                let current = schema.name_in_free_section(name).map_or(name, |info| info.name);
                settings.push(setting(&section, current));
                continue;
            }
            if let Some(info) = current {
                settings.push(setting(&section, info.name));
            }
            for option in canonical {
                under_old_names.push(setting(option.section, option.info.name));
                if current.is_none() {
                    let message = format!(
                        "[{section}] {name} is deprecated, use [{}] {} instead",
                        option.section, option.info.name
                    );
                    warnings.push(Warning { origin: Origin::from(origin.as_str()), message });
                }
            }
        }
        under_old_names.retain(|old: &Setting| {
            !settings.iter().any(|setting| setting.section == old.section && setting.option == old.option)
        });
        settings.append(&mut under_old_names);
        Self { name: path.display().to_string(), settings, append: true }
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let mut tree = Value::new(None, Map::<String, Value>::new());
        self.collect_to(&mut tree)?;
        tree.into_table()
    }

    /// Not by way of path expressions, as the default does: those take a section such as `file.one` apart at the dot.
    fn collect_to(&self, tree: &mut Value) -> Result<(), config::ConfigError> {
        let mut cleared: Vec<(&str, &str)> = Vec::new();
        for setting in &self.settings {
            let values = member(tree, &setting.section, || Map::<String, Value>::new().into())
                .and_then(|section| member(section, &setting.option, || Vec::<Value>::new().into()));
            let Some(values) = values else { continue };
            let place = (setting.section.as_str(), setting.option.as_str());
            if !self.append && !cleared.contains(&place) {
                values.kind = Vec::<Value>::new().into();
                cleared.push(place);
            }
            if let ValueKind::Array(values) = &mut values.kind {
                values.push(Value::new(Some(&setting.origin), setting.value.clone()));
            }
        }
        Ok(())
    }
}

/// The member `name` of a table, made where it is missing; there is none in what is no table.
fn member<'a>(parent: &'a mut Value, name: &str, empty: impl FnOnce() -> ValueKind) -> Option<&'a mut Value> {
    match &mut parent.kind {
        ValueKind::Table(table) => Some(table.entry(name.to_owned()).or_insert_with(|| Value::new(None, empty()))),
        _ => None,
    }
}

/// The layers merged: what was set, and where.
#[derive(Default)]
pub(super) struct Merged(Value);

/// There are secrets among the values.
impl fmt::Debug for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged").finish_non_exhaustive()
    }
}

impl Merged {
    /// Puts the layers over each other, the last one on top.
    pub(super) fn of(layers: Vec<Layer>) -> Result<Self, config::ConfigError> {
        let builder = layers.into_iter().fold(config::Config::builder(), |builder, layer| builder.add_source(layer));
        Ok(Self(builder.build()?.cache))
    }

    /// All texts given for an option, the last one counting most, and the origin of each.
    pub(super) fn texts(&self, section: &str, option: &str) -> Option<(Vec<String>, Vec<Origin>)> {
        let ValueKind::Table(sections) = &self.0.kind else { return None };
        let ValueKind::Table(options) = &sections.get(section)?.kind else { return None };
        let ValueKind::Array(values) = &options.get(option)?.kind else { return None };
        let given = values
            .iter()
            .map(|value| (value.kind.to_string(), Origin::from(value.origin().unwrap_or(Origin::DEFAULT))));
        Some(given.unzip()).filter(|(texts, _): &(Vec<_>, Vec<_>)| !texts.is_empty())
    }
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) document: Document,
}

/// Section and option that an environment variable sets.
fn of_variable(name: &str) -> Option<(String, String)> {
    let (section, option) = name.strip_prefix("OS_")?.rsplit_once("__")?;
    if name.chars().any(char::is_lowercase) || option.is_empty() {
        return None;
    }
    let section = if section == "DEFAULT" { section.to_owned() } else { section.to_lowercase() };
    Some((section, option.to_lowercase()))
}

/// What a file may name: sections that are always there, and those that the configuration itself names.
pub(super) struct Named<'a> {
    pub(super) schema: &'a Schema,
    /// Ids of stores.
    pub(super) stores: &'a [String],
    /// Those that `auth_section` names.
    pub(super) accounts: Vec<&'a str>,
}

impl Named<'_> {
    fn is_store(&self, section: &str) -> bool {
        section == schema::BACKEND_DEFAULTS || self.stores.iter().any(|store| store == section)
    }

    fn knows_section(&self, section: &str) -> bool {
        self.schema.is_fixed(section)
            || schema::is_unused(section)
            || self.is_store(section)
            || self.accounts.contains(&section)
    }

    /// Whether the option means something in this section. A section has several sorts of options where a store's id is the
    /// name of a section of ours.
    fn knows(&self, section: &str, name: &str) -> bool {
        let schema = self.schema;
        let former = |section: &str| !schema.former(section, name).is_empty();
        (schema.is_fixed(section) && (schema.option(section, name).is_some() || former(section)))
            || (self.is_store(section)
                && (schema.store_option(name).is_some() || former(super::GlanceStoreSection::NAME)))
            || (self.accounts.contains(&section) && schema.plugin_option(name).is_some())
    }
}

/// Names what no part of the service knows. Variables whose section is not ours belong to other programs.
pub(super) fn unknown(files: &[File], environment: &BTreeMap<String, String>, named: &Named<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |origin: String, message: String| {
        warnings.push(Warning { origin: Origin::from(origin.as_str()), message });
    };
    for (variable, (section, option)) in environment.keys().filter_map(|name| Some((name, of_variable(name)?))) {
        if named.schema.is_fixed(&section) && !named.knows(&section, &option) {
            let message = format!("[{section}] {option} is an unknown option, it is ignored");
            warn(format!("environment {variable}"), message);
        }
    }
    for File { path, document } in files {
        for (name, line) in &document.sections {
            if !named.knows_section(&schema::normal_section(name)) {
                let message = format!("[{name}] is an unknown section, it is ignored");
                warn(format!("{}:{line}", path.display()), message);
            }
        }
        for entry in &document.entries {
            let section = schema::normal_section(&entry.section);
            let of_ours =
                named.schema.is_fixed(&section) || (named.knows_section(&section) && !schema::is_unused(&section));
            if of_ours && !named.knows(&section, &entry.key) {
                let message = format!("[{}] {} is an unknown option, it is ignored", entry.section, entry.key);
                warn(format!("{}:{}", path.display(), entry.line), message);
            }
        }
    }
    warnings
}
