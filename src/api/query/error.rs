//! A query string that is refused.

/// In upstream's words, with status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueryError(pub(super) String);

impl QueryError {
    pub(in crate::api) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
