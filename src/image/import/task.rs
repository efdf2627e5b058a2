//! What the row of a task says of it in a word: what it does, and how far it is.

use crate::db::tasks::{TaskRecord, TaskStep};
use crate::image::word::keep;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Makes an image of data in the web, at an administrator's request to the tasks API.
    Import,
    /// Imports data into an image that is there.
    ApiImageImport,
    /// Hashes data at a location that was added to an image.
    LocationImport,
    /// Nothing that is known here; the word in the database.
    Unknown(&'static str),
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// It waits for its turn.
    Pending,
    Processing,
    Success,
    Failure,
    /// None that is known here; the word in the database.
    Unknown(&'static str),
}

impl TaskKind {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::ApiImageImport => "api_image_import",
            Self::LocationImport => "location_import",
            Self::Unknown(word) => word,
        }
    }

    /// The kind that a word means, if any.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Import, Self::ApiImageImport, Self::LocationImport].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl TaskStatus {
    /// Those in which a task still has a worker, or should have.
    pub(crate) const UNFINISHED: [Self; 2] = [Self::Pending, Self::Processing];

    pub(crate) fn is_unfinished(self) -> bool {
        Self::UNFINISHED.contains(&self)
    }

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown(word) => word,
        }
    }

    /// The step of a task from one of these statuses to this one, and nothing else.
    pub(crate) fn step(self, task: &str, from: &[Self]) -> TaskStep {
        TaskStep {
            task: task.to_owned(),
            from: from.iter().map(|status| status.as_str()).collect(),
            to: self.as_str(),
            result: None,
            message: None,
            expires_at: None,
            image: None,
        }
    }
}

/// Of a task in the database.
impl From<&TaskRecord> for TaskKind {
    fn from(task: &TaskRecord) -> Self {
        task.kind.as_str().into()
    }
}

/// Of a task in the database.
impl From<&TaskRecord> for TaskStatus {
    fn from(task: &TaskRecord) -> Self {
        task.status.as_str().into()
    }
}

impl From<&str> for TaskKind {
    fn from(word: &str) -> Self {
        Self::named(word).unwrap_or_else(|| Self::Unknown(keep(word)))
    }
}

impl From<&str> for TaskStatus {
    fn from(word: &str) -> Self {
        let known = [Self::Pending, Self::Processing, Self::Success, Self::Failure];
        known.into_iter().find(|status| status.as_str() == word).unwrap_or_else(|| Self::Unknown(keep(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_database() {
        for word in ["pending", "processing", "success", "failure", "busy"] {
            assert_eq!(TaskStatus::from(word).as_str(), word);
        }
        assert_eq!(TaskStatus::from("busy"), TaskStatus::Unknown("busy"));
        for word in ["import", "api_image_import", "location_import", "export"] {
            assert_eq!(TaskKind::from(word).as_str(), word);
        }
        assert_eq!((TaskKind::named("import"), TaskKind::named("export")), (Some(TaskKind::Import), None));
    }
}
