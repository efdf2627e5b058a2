//! What can go wrong with tasks; texts that clients see are upstream's.

use crate::db::DbError;
use crate::image;
use crate::schema::python::Excerpt;

/// An operation on tasks failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such task, or none that the viewer may see.
    #[error("Could not find task {}", Excerpt(.0))]
    NotFound(String),
    /// The page marker names no task.
    #[error("Task with the given id {} was not found", Excerpt(.0))]
    MarkerMissing(String),
    /// The page marker names a task that the viewer may not see.
    #[error("Forbidding request, task {} is not visible", Excerpt(.0))]
    MarkerHidden(String),
    /// Nothing can be sorted by that.
    #[error("Sort key supplied was not valid.")]
    SortKey,
    /// More tasks wait already than this worker keeps.
    #[error("too many tasks wait already")]
    Full,
    /// The image is in no state for the work, or another task has it.
    #[error("{0}")]
    Conflict(String),
    /// The request asks for what cannot be.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Image(image::Error),
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::MarkerNotFound(id) => Self::MarkerMissing(id),
            DbError::MarkerNotVisible(id) => Self::MarkerHidden(id),
            DbError::NotFound { what: "column", .. } => Self::SortKey,
            other => Self::Db(other),
        }
    }
}
