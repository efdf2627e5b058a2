//! What a caller may do: the oslo.policy rule language, Glance's default rules, the enforcer.
//!
//! An [`Enforcer`] lives as long as a configuration. Each request takes the [`Rules`] in force from it once and asks them with
//! [`Rules::check`], naming a rule, a [`Target`] and the caller. That Glance turns some refusals into 404 is not decided here.

mod audit;
mod credentials;
mod defaults;
mod enforcer;
mod error;
mod evaluate;
mod files;
mod language;
mod remote;
mod rules;
mod subject;
mod template;

use std::borrow::Cow;

use serde_json::{Map, Value};

pub use defaults::{Legacy, RuleDefault, all as default_rules};
pub use enforcer::Enforcer;
pub use error::PolicyError;
pub use evaluate::Failure;
pub use language::{BadCheck, BadRule};
pub use rules::Rules;
pub use template::BadFormat;

/// What a rule is asked about: an image, a task, the caller's own project.
pub trait Target: Sync {
    /// The value of `%(key)s`, shown as Python's `str()` shows it: `True`, `None`, digits. `None` where there is no such key: a
    /// check of it refuses. Keys with dots are asked for as they are written.
    fn get(&self, key: &str) -> Option<Cow<'_, str>>;

    /// All keys and values, for an `http:` check's server.
    fn document(&self) -> Map<String, Value>;
}

/// Nothing in particular.
impl Target for () {
    fn get(&self, _key: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }
}

#[cfg(test)]
mod tests;
