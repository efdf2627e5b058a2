//! What can go wrong with the cache as such. Reading an image does not: what the cache cannot serve comes from the store.

use std::io;

use super::blocking::is_passing;
use super::index::{IndexError, OpenError};

/// The cache cannot do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the directory of the image cache: {0}")]
    Directory(#[from] io::Error),
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Error {
    /// Whether the disk is in a state that can pass.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Directory(error) => is_passing(error),
            Self::Index(error) => error.is_of_disk(),
        }
    }

    /// Whether the database is at fault, and the same may succeed a little later.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Index(IndexError::Table(error)) if error.is_unavailable())
    }
}

/// There cannot be a cache with these options.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("the pipeline has the filter cache, but [DEFAULT] image_cache_dir is not set")]
    NoDirectory,
    #[error("[DEFAULT] image_cache_dir = {path}: {source}")]
    Directory { path: String, source: io::Error },
    #[error(transparent)]
    Index(#[from] OpenError),
}

impl SetupError {
    /// Whether nobody has said how the other nodes call this one.
    pub(crate) fn is_about_node(&self) -> bool {
        matches!(self, Self::Index(OpenError::NoNode))
    }
}
