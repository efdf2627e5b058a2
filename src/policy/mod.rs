//! What a caller may do: the oslo.policy rule language, Glance's default rules, the enforcer.
//!
//! An [`Enforcer`] lives as long as a configuration. Each request takes the [`Rules`] in force from it once and asks them with
//! [`Rules::check`], naming a rule, a [`Target`] and the caller. That Glance turns some refusals into 404 is not decided here.
//! [`Protections`] says beside them who may do what with single properties of images.

mod audit;
mod credentials;
mod defaults;
mod enforcer;
mod error;
mod evaluate;
mod files;
mod language;
mod protections;
mod remote;
mod rules;
mod subject;
mod target;
mod template;
mod watch;

pub use defaults::{Legacy, RuleDefault, all as default_rules};
pub use enforcer::Enforcer;
pub use error::PolicyError;
pub use evaluate::Failure;
pub use language::{BadCheck, BadRule};
pub use protections::{PropertyOperation, ProtectionError, Protections};
pub use rules::Rules;
pub use target::Target;
pub use template::BadFormat;

#[cfg(test)]
mod tests;
