//! Rows of tasks.

use serde_json::Value;
use time::PrimitiveDateTime;

use crate::db::model::{EPOCH, UNREADABLE_OWNER};
use crate::db::row::Columns;
use crate::db::unreadable::TableRow;

/// A task (upstream: `Task` and `TaskInfo` in `glance/db/sqlalchemy/models.py`). Times are naive UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    pub id: String,
    /// `import`, `api_image_import` or `location_import`.
    pub kind: String,
    /// `pending`, `processing`, `success` or `failure`.
    pub status: String,
    /// Project id; empty where there was none.
    pub owner: String,
    /// When a task that is done is no longer shown.
    pub expires_at: Option<PrimitiveDateTime>,
    pub created_at: PrimitiveDateTime,
    pub updated_at: PrimitiveDateTime,
    pub deleted_at: Option<PrimitiveDateTime>,
    pub deleted: bool,
    pub image_id: Option<String>,
    pub request_id: Option<String>,
    pub user_id: Option<String>,
    /// `None` in a list, which does not read it.
    pub input: Option<Value>,
    pub result: Option<Value>,
    pub message: Option<String>,
}

/// A task to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    pub id: String,
    pub kind: String,
    pub owner: String,
    pub image_id: Option<String>,
    pub request_id: Option<String>,
    pub user_id: Option<String>,
    pub input: Value,
}

/// Who looks at tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskViewer {
    pub is_admin: bool,
    /// Project id. Without one, nothing is hidden from lists (upstream: `_task_get_all`).
    pub project: Option<String>,
}

impl TaskViewer {
    /// The service itself, which sees all tasks.
    pub fn service() -> Self {
        Self { is_admin: true, project: None }
    }

    /// Upstream: `_is_task_visible`.
    pub(super) fn can_see(&self, owner: &str) -> bool {
        self.is_admin || self.project.as_deref() == Some(owner)
    }
}

/// The columns of `tasks` in the order in which they are read.
pub(super) const COLUMNS: [&str; 12] = [
    "id",
    "type",
    "status",
    "owner",
    "expires_at",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "image_id",
    "request_id",
    "user_id",
];

/// The columns of `task_info` that follow them.
pub(super) const INFO_COLUMNS: [&str; 3] = ["input", "result", "message"];

impl TaskRecord {
    /// Reads [`COLUMNS`]. Something stands in for what cannot be read, see [`unreadable`](crate::db::unreadable); it shows the task to
    /// nobody else.
    pub(super) fn read(columns: &mut Columns<'_>) -> Self {
        let id = TableRow::new("tasks", &"?").or(columns.text(), String::new);
        let row = TableRow::new("tasks", &id);
        let kind = row.or(columns.text(), String::new);
        let status = row.or(columns.text(), String::new);
        let owner = row.or(columns.text(), || UNREADABLE_OWNER.to_owned());
        let expires_at = row.or(columns.maybe_time(), || None);
        let created_at = row.or(columns.time(), || EPOCH);
        let updated_at = row.or(columns.maybe_time(), || None).unwrap_or(created_at);
        let deleted_at = row.or(columns.maybe_time(), || None);
        let deleted = row.or(columns.flag(), || false);
        let image_id = row.or(columns.maybe_text(), || None);
        let request_id = row.or(columns.maybe_text(), || None);
        let user_id = row.or(columns.maybe_text(), || None);
        Self {
            id,
            kind,
            status,
            owner,
            expires_at,
            created_at,
            updated_at,
            deleted_at,
            deleted,
            image_id,
            request_id,
            user_id,
            input: None,
            result: None,
            message: None,
        }
    }

    /// Reads [`COLUMNS`] and [`INFO_COLUMNS`].
    pub(super) fn read_whole(columns: &mut Columns<'_>) -> Self {
        let task = Self::read(columns);
        let row = TableRow::new("task_info", &task.id);
        let mut text = || row.or(columns.maybe_text(), || None);
        let (input, result, message) = (text(), text(), text());
        // A text that is not JSON says nothing that anybody could use.
        let parse = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self { input: parse(input), result: parse(result), message, ..task }
    }
}
