//! Who is asking: Keystone token validation and the context of a request.
//!
//! An [`Authenticator`] turns the tokens of a request into a [`Context`]. Whether a caller without a valid token is let in, and
//! whether a caller is an administrator, is decided by others.

mod access_rules;
mod authenticator;
mod binding;
mod cache;
mod context;
mod error;
pub mod keystone;
pub mod outgoing;

pub use authenticator::Authenticator;
pub use context::{Context, ServiceUser};
pub use error::IdentityError;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
