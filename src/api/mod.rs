//! The routes: parse the request, ask the policy, call the domain, render the answer.

mod content;
mod dispatch;
mod documents;
mod domain_errors;
mod error;
#[cfg(test)]
mod fake;
mod header;
pub(crate) mod json;
mod message;
mod peers;
mod policy;
mod property_access;
pub mod query;
mod reply;
mod router;
mod routes;
mod state;
mod v2;

pub use dispatch::SetupError;
pub use error::{Error, Text};
pub use message::{Body, Filters, Request, RequestBody, Response};
pub use state::Api;
use state::Call;
