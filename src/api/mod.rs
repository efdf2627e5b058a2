//! The routes: parse the request, ask the policy, call the domain, render the answer.

mod error;
pub mod json;
mod message;

pub use error::{Error, Text};
pub use message::{Body, Request, RequestBody, Response};

/// All routes below `/v2`, with one configuration's view of the world. A reload makes a new one.
pub struct Api {}

impl Api {
    /// Answers one authenticated request.
    ///
    /// # Errors
    /// What the client is to be told, not yet rendered for its Accept header.
    pub async fn handle(&self, _request: Request) -> Result<Response, Error> {
        Err(Error::stock(http::StatusCode::NOT_FOUND))
    }
}
