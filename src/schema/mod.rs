//! JSON Schema with the words of Python's jsonschema, and the forms in which Python writes and reads values.
//!
//! The engine knows no resource: [`Schema`] takes any schema that upstream's documents use.

mod flaw;
mod keywords;
pub(crate) mod python;
mod types;
mod validator;
mod walk;

pub(crate) use validator::{Mismatch, Schema};
