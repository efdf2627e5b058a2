//! Why a command failed.

use crate::cache;
use crate::config::ConfigErrors;
use crate::db::DbError;
use crate::metadef;
use crate::store::StoreError;
use crate::sys::causes::ErrorWithCauses;

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
    #[error("ERROR: {}", ErrorWithCauses(.0))]
    CacheSetup(#[from] cache::SetupError),
    #[error("ERROR: {}", ErrorWithCauses(.0))]
    Cache(#[from] cache::Error),
    #[error("ERROR: {}", ErrorWithCauses(.0))]
    Stores(#[from] StoreError),
    #[error("ERROR: cannot start: {0}")]
    Runtime(std::io::Error),
}

impl CommandError {
    /// A tool of the image cache has nothing to work on.
    pub(super) fn no_cache() -> Self {
        Self::Refused("ERROR: image_cache_dir is not set: there is no image cache".to_owned())
    }
}
