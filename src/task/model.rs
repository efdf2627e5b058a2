//! A task as a state machine (upstream: `glance/domain/__init__.py`, `Task`).

use serde_json::Value;
use time::PrimitiveDateTime;

use super::Error;
use crate::db::tasks::TaskRecord;
use crate::image::keep_word;

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

/// One task. Times are naive UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub id: String,
    pub kind: TaskKind,
    pub status: TaskStatus,
    /// Project id.
    pub owner: String,
    /// `None` in a list.
    pub input: Option<Value>,
    /// `None` in a list, and while there is none.
    pub result: Option<Value>,
    /// Empty in a list.
    pub message: String,
    /// When a task that is done is no longer shown.
    pub expires_at: Option<PrimitiveDateTime>,
    pub created_at: PrimitiveDateTime,
    pub updated_at: PrimitiveDateTime,
    pub deleted_at: Option<PrimitiveDateTime>,
    pub deleted: bool,
    pub image_id: Option<String>,
    pub request_id: Option<String>,
    pub user_id: Option<String>,
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

    /// Whether the machine has a step from here to `to`.
    ///
    /// # Errors
    /// [`Error::Transition`]
    pub fn transition(self, to: Self) -> Result<(), Error> {
        match (self, to) {
            (Self::Pending, Self::Processing | Self::Failure) | (Self::Processing, Self::Success | Self::Failure) => {
                Ok(())
            }
            (from, to) => Err(Error::Transition { from: from.as_str(), to: to.as_str() }),
        }
    }
}

impl From<&str> for TaskKind {
    fn from(word: &str) -> Self {
        Self::named(word).unwrap_or_else(|| Self::Unknown(keep_word(word)))
    }
}

impl From<&str> for TaskStatus {
    fn from(word: &str) -> Self {
        let known = [Self::Pending, Self::Processing, Self::Success, Self::Failure];
        known.into_iter().find(|status| status.as_str() == word).unwrap_or_else(|| Self::Unknown(keep_word(word)))
    }
}

impl From<TaskRecord> for Task {
    fn from(record: TaskRecord) -> Self {
        let TaskRecord { id, kind, status, owner, expires_at, created_at, updated_at, deleted_at, deleted, .. } =
            record;
        let TaskRecord { image_id, request_id, user_id, input, result, message, .. } = record;
        Self {
            id,
            kind: kind.as_str().into(),
            status: status.as_str().into(),
            owner,
            input,
            result,
            message: message.unwrap_or_default(),
            expires_at,
            created_at,
            updated_at,
            deleted_at,
            deleted,
            image_id,
            request_id,
            user_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [TaskStatus; 4] =
        [TaskStatus::Pending, TaskStatus::Processing, TaskStatus::Success, TaskStatus::Failure];

    #[test]
    fn has_exactly_upstreams_steps() {
        //                                       p r s f
        for (from, row) in ALL.into_iter().zip(["-x-x", "--xx", "----", "----"]) {
            for (to, wanted) in ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.transition(to).is_ok(), wanted == 'x', "{from:?} to {to:?}");
            }
        }
        let refused = TaskStatus::Success.transition(TaskStatus::Failure).unwrap_err();
        assert_eq!(refused.to_string(), "Status transition from success to failure is not allowed");
    }

    #[test]
    fn kinds_are_found_by_their_words() {
        for kind in [TaskKind::Import, TaskKind::ApiImageImport, TaskKind::LocationImport] {
            assert_eq!(TaskKind::named(kind.as_str()), Some(kind));
        }
        assert_eq!(TaskKind::named("export"), None);
        assert_eq!((TaskKind::from("import"), TaskKind::from("busy").as_str()), (TaskKind::Import, "busy"));
    }

    #[test]
    fn a_status_that_nobody_knows_is_shown_and_leads_nowhere() {
        for status in ALL {
            assert_eq!(TaskStatus::from(status.as_str()), status);
            assert!(TaskStatus::from("busy").transition(status).is_err());
        }
        assert_eq!(TaskStatus::from("busy").as_str(), "busy");
    }
}
