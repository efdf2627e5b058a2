//! A task as a state machine (upstream: `glance/domain/__init__.py`, `Task`).

use serde_json::Value;
use time::PrimitiveDateTime;

use crate::db::tasks::TaskRecord;
pub(crate) use crate::image::{TaskKind, TaskStatus};

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

/// Whether upstream's status machine of tasks has a step from one status to another.
pub(super) fn is_step(from: TaskStatus, to: TaskStatus) -> bool {
    matches!(
        (from, to),
        (TaskStatus::Pending, TaskStatus::Processing | TaskStatus::Failure)
            | (TaskStatus::Processing, TaskStatus::Success | TaskStatus::Failure)
    )
}

impl From<TaskRecord> for Task {
    fn from(record: TaskRecord) -> Self {
        let (kind, status) = ((&record).into(), (&record).into());
        let TaskRecord { id, owner, expires_at, created_at, updated_at, deleted_at, deleted, .. } = record;
        let TaskRecord { image_id, request_id, user_id, input, result, message, .. } = record;
        Self {
            id,
            kind,
            status,
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
                assert_eq!(is_step(from, to), wanted == 'x', "{from:?} to {to:?}");
            }
        }
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
            assert!(!is_step(TaskStatus::from("busy"), status));
        }
        assert_eq!(TaskStatus::from("busy").as_str(), "busy");
    }
}
