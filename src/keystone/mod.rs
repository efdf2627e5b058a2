//! Keystone's v3 API, and HTTP requests to other services in general.
//!
//! [`Session`] keeps a service account logged in, for whichever service is to be called with it; [`Validator`] uses one to look
//! at other people's tokens. [`outgoing`] has the program's one HTTP client, [`UrlFilter`] says where it may be sent by users.

mod answer;
pub mod catalog;
mod discovery;
mod error;
mod login;
pub mod outgoing;
mod session;
mod token;
mod url_filter;
mod validator;

pub use error::KeystoneError;
pub use login::{Login, LoginOptions};
pub use session::{Grant, Session};
pub use token::{AccessRule, Entity, Token};
pub use url_filter::{Refused, UrlFilter};
pub use validator::{Validated, Validator};

#[cfg(test)]
pub(crate) mod fake;
