//! Keystone's v3 API, and HTTP requests to other services in general.
//!
//! [`Session`] keeps a service account logged in, for whichever service is to be called with it; [`Validator`] uses one to look
//! at other people's tokens, [`UnifiedLimits`] another one to learn what projects may have. [`outgoing`] has the program's one HTTP
//! client, and the filter that says where users may send it.

mod answer;
pub(crate) mod catalog;
mod discovery;
mod error;
mod identity_url;
mod limits;
mod login;
pub(crate) mod outgoing;
mod region;
mod session;
mod single_flight;
mod token;
mod token_catalog;
mod validator;

pub(crate) use discovery::below;
pub(crate) use error::KeystoneError;
pub(crate) use limits::{ProjectLimits, UnifiedLimits};
pub(crate) use login::{Login, LoginOptions};
pub(crate) use region::Region;
pub(crate) use session::Session;
pub(crate) use token::{AccessRule, Entity, Token};
pub(crate) use token_catalog::catalog_of_token;
pub(crate) use validator::{Validated, Validator, ValidatorOptions};

#[cfg(test)]
pub(crate) mod fake;
