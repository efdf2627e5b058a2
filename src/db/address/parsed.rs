//! What reading an address gives, and what the readers of all databases share.

use std::fmt::Write as _;

use super::url::Host;
use crate::db::error::DbError;

/// An address, and the names of the parameters that have no effect.
pub(in crate::db) struct Parsed<A> {
    pub(in crate::db) address: A,
    pub(in crate::db) unused: Vec<String>,
}

impl<A> Parsed<A> {
    pub(super) fn map<B>(self, to: impl FnOnce(A) -> B) -> Parsed<B> {
        Parsed { address: to(self.address), unused: self.unused }
    }
}

/// Servers as they stand in an identity.
pub(super) fn list(hosts: &[Host], usual_port: u16) -> String {
    let mut text = String::new();
    for (number, host) in hosts.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}\n{}", host.name, host.port.unwrap_or(usual_port));
    }
    text
}

/// The words for `SET` that give a session this mode of SQL.
///
/// # Errors
/// It is not a list of names.
pub(in crate::db) fn sql_mode(mode: &str) -> Result<String, DbError> {
    if !mode.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_, ".contains(&byte)) {
        return Err(DbError::Url("the mode of SQL is not a list of names".to_owned()));
    }
    Ok(format!("SESSION sql_mode = '{mode}'"))
}

/// A parameter that decides where or how safely one connects, and that this program cannot honour.
pub(super) fn refused(name: &str) -> DbError {
    DbError::Url(format!("{name} decides where or how safely one connects, and this program cannot do what it says"))
}
