//! Who may create, read, change and delete which custom properties of images (upstream: `glance/common/property_utils.py`).
//!
//! A file names properties by regular expressions, and for each of the four operations who may do it. The first section whose
//! expression is found in a property's name decides; a property that none of them finds is nobody's.

mod file;
mod pattern;

use std::path::PathBuf;

use regex::RegexSet;

use self::file::Section;
use self::pattern::BadPattern;
use super::error::PolicyError;
use super::rules::Rules;
use crate::config::{Config, ini};
use crate::identity::Context;
use crate::image::RESERVED_NAMESPACE;

/// The option that names the file, as messages begin.
const OPTION: &str = "[DEFAULT] property_protection_file";

/// What is done with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PropertyOperation {
    Create,
    Read,
    Update,
    Delete,
}

impl PropertyOperation {
    const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Delete];

    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Who may do one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Permission {
    Everyone,
    Nobody,
    /// Whoever has one of these roles, in lower case, or whose service has.
    Roles(Vec<String>),
    /// Whom this rule of the policy allows.
    Rule(String),
}

/// The protections of one configuration. Never changed once made.
#[derive(Debug)]
pub struct Protections {
    /// In the order of the sections, so that the first match is the one that counts.
    patterns: RegexSet,
    /// What each section says, in the order of [`PropertyOperation::ALL`].
    permissions: Vec<[Permission; 4]>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    #[error("{OPTION}: couldn't find property protection file {0}")]
    Missing(String),
    #[error("{OPTION}: {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{OPTION}: {}:{line}: {what}", path.display())]
    Line { path: PathBuf, line: usize, what: Problem },
    #[error("{OPTION}: {} holds more than can be searched for at a time: {source}", path.display())]
    TooLarge { path: PathBuf, source: regex::Error },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("neither a section nor an option: {0}")]
    Syntax(String),
    #[error("section [{0}] is there already")]
    DuplicateSection(String),
    #[error("[{section}] has {option} already")]
    DuplicateOption { section: String, option: String },
    #[error("{0} stands before the first section")]
    NoSection(String),
    #[error("[{section}] does not say who may {operation} the property")]
    MissingOperation { section: String, operation: &'static str },
    #[error("malformed property protection rule [{section}]: {source}")]
    Pattern { section: String, source: BadPattern },
    #[error(
        "malformed property protection rule in [{section}] {operation}={value}: '@' and '!' are mutually exclusive"
    )]
    EveryoneAndNobody { section: String, operation: &'static str, value: String },
    #[error(
        "multiple policies '{value}' not allowed for a given operation ([{section}] {operation}); policies can be combined in \
         the policy file"
    )]
    ManyPolicies { section: String, operation: &'static str, value: String },
    #[error("[{section}] {option}: '%' must be followed by '%' or '(' name ')s', and the name be an option")]
    Interpolation { section: String, option: String },
}

impl Protections {
    /// Reads the file of `property_protection_file`; `None` where there is no such option. Blocks.
    ///
    /// # Errors
    /// The file is missing, or says what cannot be meant: with its line.
    pub fn load(config: &Config) -> Result<Option<Self>, ProtectionError> {
        let Some(name) = config.default.property_protection_file.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let path = config.find_file(name).ok_or_else(|| ProtectionError::Missing(name.to_owned()))?;
        let text = std::fs::read(&path)
            .and_then(ini::text)
            .map_err(|source| ProtectionError::Unreadable { path: path.clone(), source })?;
        let names_rules = config.default.property_protection_rule_format == "policies";
        Self::parse(&text, names_rules, path).map(Some)
    }

    /// `names_rules`: permissions are rules of the policy, not roles.
    fn parse(text: &str, names_rules: bool, path: PathBuf) -> Result<Self, ProtectionError> {
        let at = |(line, what)| ProtectionError::Line { path: path.clone(), line, what };
        let mut patterns = vec![format!("{RESERVED_NAMESPACE}.*")];
        let mut permissions = vec![[const { Permission::Everyone }; 4]];
        for section in file::sections(text).map_err(at)? {
            if section.name.starts_with(RESERVED_NAMESPACE) {
                continue;
            }
            patterns.push(pattern::translate(&section.name).map_err(|source| {
                let section_name = section.name.clone();
                at((section.line, Problem::Pattern { section: section_name, source }))
            })?);
            permissions.push(of_section(&section, names_rules).map_err(at)?);
        }
        let patterns = RegexSet::new(patterns).map_err(|source| ProtectionError::TooLarge { path, source })?;
        Ok(Self { patterns, permissions })
    }

    /// The place of the section that decides about a property. Costs one search for all expressions together.
    pub fn section(&self, property: &str) -> Option<usize> {
        self.patterns.matches(property).iter().next()
    }

    /// Whether a section allows the caller something.
    ///
    /// # Errors
    /// As [`Rules::check`], where permissions are rules.
    pub async fn allows(
        &self,
        section: usize,
        operation: PropertyOperation,
        rules: &Rules,
        context: &Context,
    ) -> Result<bool, PolicyError> {
        match self.permissions.get(section).map(|all| &all[operation as usize]) {
            None | Some(Permission::Nobody) => Ok(false),
            Some(Permission::Everyone) => Ok(true),
            Some(Permission::Roles(wanted)) => {
                let mut roles = context.roles.iter().chain(&context.service_roles);
                Ok(roles.any(|role| wanted.contains(role)))
            }
            Some(Permission::Rule(rule)) => rules.check_reference(rule, &(), context).await,
        }
    }
}

fn of_section(section: &Section, names_rules: bool) -> Result<[Permission; 4], (usize, Problem)> {
    let [create, read, update, delete] =
        PropertyOperation::ALL.map(|operation| permission(section, operation, names_rules));
    Ok([create?, read?, update?, delete?])
}

fn permission(
    section: &Section,
    operation: PropertyOperation,
    names_rules: bool,
) -> Result<Permission, (usize, Problem)> {
    let (name, operation) = (|| section.name.clone(), operation.name());
    let missing = || (section.line, Problem::MissingOperation { section: name(), operation });
    let option = section.option(operation).ok_or_else(missing)?;
    let value = section.value(option)?;
    if value.is_empty() {
        tracing::warn!(
            operation,
            rule = section.name,
            "property protection on operation is not found, nobody will be allowed to perform it"
        );
        return Ok(Permission::Nobody);
    }
    let names: Vec<&str> = if names_rules { vec![value.as_str()] } else { value.split(',').map(str::trim).collect() };
    let (is_everyone, is_nobody) = (names.contains(&"@"), names.contains(&"!"));
    if names_rules && value.contains(',') {
        return Err((option.line, Problem::ManyPolicies { section: name(), operation, value }));
    }
    if is_everyone && is_nobody {
        return Err((option.line, Problem::EveryoneAndNobody { section: name(), operation, value }));
    }
    Ok(match (is_everyone, is_nobody) {
        (true, _) => Permission::Everyone,
        (_, true) => Permission::Nobody,
        _ if names_rules => Permission::Rule(value),
        _ => Permission::Roles(names.into_iter().map(str::to_lowercase).collect()),
    })
}

#[cfg(test)]
mod tests;
