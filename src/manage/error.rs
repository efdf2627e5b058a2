//! Why a command failed.

use crate::config::ConfigErrors;
use crate::db::DbError;
use crate::http::ErrorWithCauses;
use crate::metadef;

/// The command failed: the text is for standard error, the exit status is 1.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// In upstream's words, where there are such.
    #[error("{0}")]
    Refused(String),
    #[error("ERROR: {0}")]
    Configuration(#[from] ConfigErrors),
    #[error("ERROR: {}", ErrorWithCauses(.0))]
    Database(#[from] DbError),
    #[error("ERROR: {0}")]
    Definitions(#[from] metadef::Error),
    #[error("ERROR: cannot start: {0}")]
    Runtime(std::io::Error),
}
