//! From sources to options in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checks;
use super::embedded;
use super::ini;
use super::layers::{self, File, Layer, Merged, Named};
use super::option::Values as _;
use super::problem::{ConfigErrors, Origin, Problem, Warning};
use super::reader::Reader;
use super::schema::{self, Schema};
use super::sources::{Found, Sources};
use super::stores;
use super::{
    BarbicanServiceUserSection, Config, KeystoneAuthtokenSection, OsloLimitSection, PasteDeploySection, Section,
    StoreKind,
};

/// A configuration that can be used, and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The options in force.
    pub config: Config,
    /// What the operator should know; to be logged once.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Finds, reads and checks the configuration, in which stores of these kinds may be named. Blocks: it reads files.
    ///
    /// # Errors
    ///
    /// All that is wrong, each with its file and line; the service must not run then (exit status 78).
    pub fn load(sources: &Sources, kinds: &[&'static StoreKind]) -> Result<Loaded, ConfigErrors> {
        let schema = Schema::new(kinds);
        let Found { files, search, named } = sources.find().map_err(ConfigErrors)?;
        let files = read(files)?;
        let mut warnings = Vec::new();

        let mut all = Vec::new();
        let mut state = None;
        if files.is_empty() && !named {
            let directory = embedded::state_directory(sources)?;
            all.push(embedded::layer(&directory, kinds));
            state = Some(directory);
        }
        for file in &files {
            all.push(Layer::file(&schema, &file.path, &file.document, &mut warnings));
        }
        all.push(Layer::environment(&sources.environment));
        all.push(Layer::command_line(sources.arguments.settings.clone()));

        let place =
            files.last().map_or_else(|| "no configuration file".to_owned(), |file| file.path.display().to_string());
        let place = Origin::from(place.as_str());
        let merged = Merged::of(all).map_err(Problem::from)?;
        let credentials = sources.variable("CREDENTIALS_DIRECTORY").map(Path::new);
        let mut reader = Reader::new(&schema, &merged, credentials, place);
        let auth_sections = auth_sections(&schema, &mut reader);
        let mut config = Self::read_sections(&mut reader, &auth_sections);
        (config.driver_options, config.driver_sections) = stores::read_shared(&mut reader, kinds);
        config.state_directory = match &config.service.state_directory {
            Some(named) => std::path::absolute(named).ok(),
            None => embedded::state_directory(sources).ok(),
        };
        config.embedded = state;
        config.files = files.iter().map(|file| file.path.clone()).collect();
        config.search = search;
        find_paste_file(&mut reader, &mut config);
        config.stores = stores::read(&mut reader, &config, kinds);
        checks::check(&mut reader, &config, kinds);
        finish(&schema, reader, config, sources, &files, warnings, &auth_sections)
    }
}

fn finish(
    schema: &Schema,
    reader: Reader<'_>,
    config: Config,
    sources: &Sources,
    files: &[File],
    mut warnings: Vec<Warning>,
    auth_sections: &AuthSections,
) -> Result<Loaded, ConfigErrors> {
    if !reader.problems.is_empty() {
        return Err(ConfigErrors(reader.problems));
    }
    let backends = config.default.enabled_backends.iter().flatten();
    let mut stores: Vec<_> = backends.map(|(id, _)| schema::normal_section(id)).collect();
    stores.extend(stores::RESERVED.map(str::to_owned));
    let named = Named { schema, stores: &stores, accounts: auth_sections.values().map(String::as_str).collect() };
    warnings.extend(layers::unknown(files, &sources.environment, &named));
    warnings.extend(reader.warnings);
    let mut unique = Vec::with_capacity(warnings.len());
    for warning in warnings {
        if !unique.contains(&warning) {
            unique.push(warning);
        }
    }
    let config = Config { origins: Arc::new(reader.origins), ..config };
    Ok(Loaded { config, warnings: unique })
}

/// Where no paste file is named, it is the one called like the last configuration file, if there is such
/// (`_get_paste_config_path` of `glance/common/config.py`).
fn find_paste_file(reader: &mut Reader<'_>, config: &mut Config) {
    const SUFFIX: &str = "-paste.ini";
    let file = match &config.paste_deploy.config_file {
        Some(named) => std::path::absolute(named).ok(),
        None => {
            let last = config.files.last().and_then(|file| file.file_name()).and_then(|name| name.to_str());
            let name = last.unwrap_or("glance-api.conf").replace(".conf", SUFFIX);
            config.find_file(&name).filter(|_| name.ends_with(SUFFIX))
        }
    };
    if config.paste_deploy.config_file.is_none() && file.is_some() {
        reader.found(PasteDeploySection::NAME, "config_file");
    }
    config.paste_deploy.config_file = file.map(|file| file.display().to_string());
}

/// Where sections have the options of their authentication plugin, if not in themselves.
pub(super) type AuthSections = BTreeMap<&'static str, String>;

/// `auth_section` moves the options of the authentication plugin to another section (`load_from_conf_options` of
/// `keystoneauth1/loading/conf.py`).
fn auth_sections(schema: &Schema, reader: &mut Reader<'_>) -> AuthSections {
    let sections = [BarbicanServiceUserSection::NAME, KeystoneAuthtokenSection::NAME, OsloLimitSection::NAME];
    let named = sections.into_iter().filter_map(|section| {
        let info = schema.option(section, "auth_section")?;
        let name: Option<String> = reader.section(vec![section.to_owned()]).option(info, || None);
        let name = name.filter(|name| !name.is_empty())?;
        Some((section, schema::normal_section(&name)))
    });
    named.collect()
}

/// Reads the files, all of them, whatever is wrong with one.
fn read(paths: Vec<PathBuf>) -> Result<Vec<File>, ConfigErrors> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match std::fs::read(&path) {
            Ok(bytes) => match ini::decode(bytes).and_then(|text| ini::parse(&text)) {
                Ok(document) => files.push(File { path, document }),
                Err(source) => problems.push(Problem::Syntax { path, source }),
            },
            Err(source) => problems.push(Problem::Unreadable { path, source }),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(ConfigErrors(problems)) }
}

#[cfg(test)]
mod tests;
