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
use super::option::Section;
use super::problem::{Origin, Warning};
use super::schema;

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

    /// `OS_SECTION__OPTION`, both in capitals; current names only (`oslo_config/sources/_environment.py`). Variables
    /// whose section is not ours belong to other programs.
    pub(super) fn environment(environment: &BTreeMap<String, String>, warnings: &mut Vec<Warning>) -> Self {
        let mut settings = Vec::new();
        for (name, value) in environment {
            let Some((section, option)) = name.strip_prefix("OS_").and_then(|rest| rest.rsplit_once("__")) else {
                continue;
            };
            if name.chars().any(char::is_lowercase) || option.is_empty() {
                continue;
            }
            let section = if section == "DEFAULT" { section.to_owned() } else { section.to_lowercase() };
            let option = option.to_lowercase();
            let origin = format!("environment {name}");
            if schema::is_fixed(&section) && schema::option(&section, &option).is_none() {
                let message = format!("[{section}] {option} is an unknown option, it is ignored");
                warnings.push(Warning { origin: Origin::from(origin.as_str()), message });
                continue;
            }
            settings.push(Setting { section, option, value: value.clone(), origin });
        }
        Self { name: "environment".to_owned(), settings, append: false }
    }

    /// The values of a file under their current names. Where a file gives an option under its current and a former
    /// name, the current one counts (`_Namespace._get_file_value` of `oslo_config/cfg.py`).
    pub(super) fn file(path: &Path, document: &Document, warnings: &mut Vec<Warning>) -> Self {
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
            if !schema::is_fixed(&section) {
                // Whose section it is, is known only when all is read.
                let name = name.replace('-', "_");
                let current = schema::name_in_free_section(&name).map_or(name.as_str(), |info| info.name);
                settings.push(setting(&section, current));
                continue;
            }
            let dashed = name.replace('-', "_");
            let current = schema::option(&section, name).or_else(|| schema::option(&section, &dashed));
            let places = match schema::former(&section, name) {
                [] => schema::former(&section, &dashed),
                places => places,
            };
            if let Some(info) = current {
                settings.push(setting(&section, info.name));
            }
            for place in places {
                under_old_names.push(setting(place.section, place.info.name));
                if current.is_none() {
                    let message = format!(
                        "[{section}] {name} is deprecated, use [{}] {} instead",
                        place.section, place.info.name
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

impl Merged {
    /// Puts the layers over each other, the last one on top.
    pub(super) fn of(layers: Vec<Layer>) -> Result<Self, config::ConfigError> {
        let builder = layers.into_iter().fold(config::Config::builder(), |builder, layer| builder.add_source(layer));
        Ok(Self(builder.build()?.cache))
    }

    /// All texts given for an option, the last one counting most, and the origin of the last one.
    pub(super) fn texts(&self, section: &str, option: &str) -> Option<(Vec<String>, Origin)> {
        let ValueKind::Table(sections) = &self.0.kind else { return None };
        let ValueKind::Table(options) = &sections.get(section)?.kind else { return None };
        let ValueKind::Array(values) = &options.get(option)?.kind else { return None };
        let origin = values.last()?.origin().unwrap_or(Origin::DEFAULT).into();
        Some((values.iter().map(|value| value.kind.to_string()).collect(), origin))
    }
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) document: Document,
}

/// Names what no part of the service knows. `stores` and `auth_section` are sections that the configuration itself names.
pub(super) fn unknown(files: &[File], stores: &[String], auth_section: Option<&str>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for File { path, document } in files {
        let at = |line: usize| Origin::from(format!("{}:{line}", path.display()).as_str());
        let of_stores =
            |section: &str| section == schema::BACKEND_DEFAULTS || stores.iter().any(|store| store == section);
        for (name, line) in &document.sections {
            let section = schema::normal_section(name);
            let known = schema::is_fixed(&section)
                || schema::is_unused(&section)
                || of_stores(&section)
                || auth_section == Some(section.as_str());
            if !known {
                let message = format!("[{name}] is an unknown section, it is ignored");
                warnings.push(Warning { origin: at(*line), message });
            }
        }
        for entry in &document.entries {
            let section = schema::normal_section(&entry.section);
            let name = entry.key.replace('-', "_");
            let known = if schema::is_fixed(&section) {
                schema::option(&section, &name).is_some()
                    || !schema::former(&section, &name).is_empty()
                    || !schema::former(&section, &entry.key).is_empty()
            } else if of_stores(&section) {
                schema::name_in_free_section(&name).is_some()
                    && (schema::store_option(&name).is_some()
                        || !schema::former(super::GlanceStoreSection::NAME, &name).is_empty())
            } else if auth_section == Some(section.as_str()) {
                schema::plugin_option(&name).is_some()
            } else {
                true
            };
            if !known {
                let message = format!("[{}] {} is an unknown option, it is ignored", entry.section, entry.key);
                warnings.push(Warning { origin: at(entry.line), message });
            }
        }
    }
    warnings
}
