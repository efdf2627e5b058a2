//! The region in which endpoints are looked for.

use std::fmt;

use crate::config::{Config, Origin};

/// A region that an option names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub(super) name: String,
    /// The option, for error messages.
    section: &'static str,
    option: &'static str,
    /// Where its value comes from, when it was read.
    origin: Origin,
}

impl Region {
    /// The region of an option with this value; `None`: of any.
    pub(crate) fn of_option(
        config: &Config,
        section: &'static str,
        option: &'static str,
        name: Option<&str>,
    ) -> Option<Self> {
        let name = name.filter(|name| !name.is_empty())?.to_owned();
        Some(Self { name, section, option, origin: config.origin(section, option) })
    }
}

/// As the log says it: with the place that sets the option, as other errors about an option do.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, section, option, origin } = self;
        write!(f, "{}[{section}] {option} is {name}", origin.prefix())
    }
}
