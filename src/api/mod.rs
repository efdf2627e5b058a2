//! The routes: parse the request, ask the policy, call the domain, render the answer.

mod error;
mod message;

pub use error::{Error, Text};
pub use message::{Body, Request, RequestBody, Response};
