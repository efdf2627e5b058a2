//! From sources to options in force.

use super::checks;
use super::embedded;
use super::ini;
use super::layers::{self, File, Layer, Merged};
use super::paste;
use super::problem::{ConfigErrors, Origin, Problem, Warning};
use super::reader::{Origins, Reader};
use super::schema;
use super::sources::{Found, Sources};
use super::stores;
use super::{Config, KeystoneAuthtokenSection, PasteDeploySection, Section};

/// A configuration that can be used, and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The options in force.
    pub config: Config,
    /// What the operator should know; to be logged once.
    pub warnings: Vec<Warning>,
    /// Where each option comes from that anything sets: `(section, option)` → file and line, environment, …
    pub origins: Origins,
}

impl Config {
    /// Finds, reads and checks the configuration. Blocks: it reads files.
    ///
    /// # Errors
    ///
    /// All that is wrong, each with its file and line; the service must not run then (exit status 78).
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        let Found { files, search, named } = sources.find().map_err(ConfigErrors)?;
        let files = read(files)?;
        let mut warnings = Vec::new();

        let mut all = Vec::new();
        let mut state = None;
        if files.is_empty() && !named {
            let directory = embedded::state_directory(sources)?;
            all.push(embedded::layer(&directory));
            state = Some(directory);
        }
        for file in &files {
            all.push(Layer::file(&file.path, &file.document, &mut warnings));
        }
        all.push(Layer::environment(&sources.environment, &mut warnings));
        all.push(Layer::command_line(sources.arguments.settings.clone()));

        let place =
            files.last().map_or_else(|| "no configuration file".to_owned(), |file| file.path.display().to_string());
        let place = Origin::from(place.as_str());
        let mut merged = Merged::of(all.clone()).map_err(Problem::from)?;
        let mut base = Self {
            embedded: state,
            files: files.iter().map(|file| file.path.clone()).collect(),
            search,
            ..Self::default()
        };
        let pipeline = {
            // Noted again, and for good, when all sections are read.
            let mut reader = Reader::new(&merged, None, place.clone());
            base.paste_deploy =
                PasteDeploySection::read(&mut reader.section(vec![PasteDeploySection::NAME.to_owned()]));
            paste::pipeline(&base)
        };
        if let Ok(pipeline) = &pipeline
            && !pipeline.settings.is_empty()
        {
            all.push(pipeline.layer());
            merged = Merged::of(all).map_err(Problem::from)?;
        }

        let credentials = sources.variable("CREDENTIALS_DIRECTORY").map(std::path::Path::new);
        let mut reader = Reader::new(&merged, credentials, place);
        let auth_section = auth_section(&mut reader);
        let sections = Self::read_sections(&mut reader, auth_section.clone());
        let mut config = Self { embedded: base.embedded, files: base.files, search: base.search, ..sections };
        match pipeline {
            Ok(pipeline) => config.pipeline = pipeline.filters,
            Err(problem) => reader.problems.push(problem),
        }
        config.stores = stores::read(&mut reader, &config);
        checks::check(&mut reader, &config);
        finish(reader, config, &files, warnings, auth_section.as_deref())
    }
}

fn finish(
    reader: Reader<'_>,
    config: Config,
    files: &[File],
    mut warnings: Vec<Warning>,
    auth_section: Option<&str>,
) -> Result<Loaded, ConfigErrors> {
    if !reader.problems.is_empty() {
        return Err(ConfigErrors(reader.problems));
    }
    let backends = config.default.enabled_backends.iter().flatten();
    let mut stores: Vec<_> = backends.map(|(id, _)| schema::normal_section(id)).collect();
    stores.extend(stores::RESERVED.map(str::to_owned));
    warnings.extend(layers::unknown(files, &stores, auth_section));
    warnings.extend(reader.warnings);
    let mut unique = Vec::with_capacity(warnings.len());
    for warning in warnings {
        if !unique.contains(&warning) {
            unique.push(warning);
        }
    }
    Ok(Loaded { config, warnings: unique, origins: reader.origins })
}

/// `[keystone_authtoken] auth_section` moves the options of the authentication plugin to another section.
fn auth_section(reader: &mut Reader<'_>) -> Option<String> {
    let info = schema::option(KeystoneAuthtokenSection::NAME, "auth_section")?;
    let mut section = reader.section(vec![KeystoneAuthtokenSection::NAME.to_owned()]);
    let name: Option<String> = section.option(info, || None);
    name.map(|name| schema::normal_section(&name))
}

/// Reads the files, all of them, whatever is wrong with one.
fn read(paths: Vec<std::path::PathBuf>) -> Result<Vec<File>, ConfigErrors> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => match ini::parse(&text) {
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
