//! Who is asking: tokens of requests, what Keystone said about them, and the context of a request.
//!
//! An [`Authenticator`] turns the tokens of a request into a [`Context`]. Whether a caller without a valid token is let in, and
//! whether a caller is an administrator, is decided by others.

mod access_rules;
mod authenticator;
mod binding;
mod cache;
mod context;

pub use authenticator::Authenticator;
pub use context::{Context, ServiceUser};

#[cfg(test)]
mod tests;
