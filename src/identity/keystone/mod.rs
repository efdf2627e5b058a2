//! A client of Keystone's v3 API: logging in, finding endpoints, validating tokens.
//!
//! [`Session`] keeps a service account logged in, for whichever service is to be called with it; [`Validator`] uses one to look
//! at other people's tokens.

mod answer;
pub mod catalog;
mod discovery;
mod login;
mod session;
mod token;
mod validator;

pub use login::{Login, LoginOptions};
pub use session::{Grant, Session};
pub use token::{AccessRule, Entity, Token};
pub use validator::{Validated, Validator};
