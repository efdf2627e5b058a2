//! What reading an address gives, and what the readers of all databases share.

use std::fmt::Write as _;

use super::url::Host;
use crate::config::FileStates;
use crate::db::error::DbError;

/// An address, the names of the parameters that have no effect, and the files that made the address what it is. A file that each new
/// connection reads need not be among these.
pub(in crate::db) struct Parsed<A> {
    pub(in crate::db) address: A,
    pub(in crate::db) unused: Vec<String>,
    pub(in crate::db) files: FileStates,
}

impl<A> Parsed<A> {
    pub(super) fn map<B>(self, to: impl FnOnce(A) -> B) -> Parsed<B> {
        Parsed { address: to(self.address), unused: self.unused, files: self.files }
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

/// Whether MySQL in this mode refuses a value that does not fit its column; else it may cut it off.
pub(in crate::db) fn is_strict(mode: &str) -> bool {
    const STRICT: [&str; 3] = ["STRICT_ALL_TABLES", "STRICT_TRANS_TABLES", "TRADITIONAL"];
    mode.split(',').any(|name| STRICT.iter().any(|strict| name.trim().eq_ignore_ascii_case(strict)))
}

/// A parameter that decides where or how safely one connects, and that this program cannot honour.
pub(super) fn refused(name: &str) -> DbError {
    DbError::Url(format!("{name} decides where or how safely one connects, and this program cannot do what it says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_strict_if_one_of_its_names_is() {
        for mode in ["TRADITIONAL", "traditional", "ANSI, STRICT_ALL_TABLES", "STRICT_TRANS_TABLES,NO_ZERO_DATE"] {
            assert!(is_strict(mode), "{mode}");
        }
        for mode in ["", "ANSI", "NO_ENGINE_SUBSTITUTION", "TRADITIONAL_ONES"] {
            assert!(!is_strict(mode), "{mode}");
        }
    }
}
