//! What can be wrong with a configuration, in words for the operator. No value of a secret option is ever in them.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One reason why the service cannot run with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file that was asked for, or found, cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A line that is not of oslo.config's dialect.
    #[error("{}:{}: {}", path.display(), source.line, source.kind)]
    Syntax { path: PathBuf, source: super::ini::SyntaxError },
    /// A value that its option does not allow.
    #[error("{origin}: [{section}] {option} = {value}: the value {allowed}")]
    Value { origin: Origin, section: String, option: String, value: String, allowed: String },
    /// Options that are fine one by one but not as they stand together, or that this service cannot honour.
    #[error("{origin}: [{section}] {option}: {reason}")]
    Refused { origin: Origin, section: String, option: String, reason: String },
    /// Nothing tells where the service may keep its data.
    #[error(
        "no configuration file was found, and neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME says where to keep data: \
         set one of them, or give --config-file"
    )]
    NoStateDirectory,
    /// The layering itself failed.
    #[error("the configuration cannot be put together: {0}")]
    Layers(#[from] ::config::ConfigError),
}

/// All that is wrong, one line for each.
#[derive(Debug, Default)]
pub struct ConfigErrors(pub(super) Vec<Problem>);

impl ConfigErrors {
    /// The single problems, in the order in which they were met.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Something the operator should know, but which does not stop the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it comes from.
    pub origin: Origin,
    /// What it is about, starting with `[section] option` where it is about one.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// Where a value comes from, as it is shown: `/etc/glance/glance-api.conf:12`, `environment OS_DEFAULT__DEBUG`,
/// `command line`, `embedded default`, `default`, ….
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Built into the program.
    pub const DEFAULT: &'static str = "default";
    /// From the embedded configuration, used where no file is.
    pub const EMBEDDED: &'static str = "embedded default";
    /// A file that lies where it is looked for.
    pub const FOUND: &'static str = "found in the file system";
    /// An argument of the program.
    pub const COMMAND_LINE: &'static str = "command line";

    /// The origin of a value that several places have given parts of.
    pub(super) fn of_all(origins: &[Self]) -> Self {
        Self(origins.iter().map(|origin| origin.0.as_str()).collect::<Vec<_>>().join(", "))
    }

    /// For the beginning of words about an option that somebody set: `/etc/glance/glance-api.conf:12: `.
    pub fn prefix(&self) -> String {
        if self.is_set() { format!("{self}: ") } else { String::new() }
    }

    /// Whether somebody set the value, rather than the program.
    pub fn is_set(&self) -> bool {
        ![Self::DEFAULT, Self::EMBEDDED, Self::FOUND].contains(&self.0.as_str())
    }
}

impl From<&str> for Origin {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
