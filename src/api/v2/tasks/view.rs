//! The document of a task (upstream: `_format_task` in `glance/api/v2/tasks.py`).

use serde::Serialize;
use serde_json::Value;

use crate::api::v2::images::timestamp;
use crate::task::Task;

/// A task with everything about it, in upstream's order.
#[derive(Serialize)]
pub(super) struct TaskView<'a> {
    id: &'a str,
    input: &'a Option<Value>,
    #[serde(rename = "type")]
    kind: &'a str,
    status: &'a str,
    owner: &'a str,
    message: &'a str,
    result: &'a Option<Value>,
    created_at: String,
    updated_at: String,
    #[serde(rename = "self")]
    itself: String,
    schema: &'static str,
    #[serde(skip_serializing_if = "is_empty")]
    image_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A task in a list.
#[derive(Serialize)]
pub(super) struct StubView<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: &'a str,
    owner: &'a str,
    created_at: String,
    updated_at: String,
    #[serde(rename = "self")]
    itself: String,
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

const SCHEMA: &str = "/v2/schemas/task";

impl<'a> TaskView<'a> {
    pub(super) fn new(task: &'a Task) -> Self {
        Self {
            id: &task.id,
            input: &task.input,
            kind: task.kind.as_str(),
            status: task.status.as_str(),
            owner: &task.owner,
            message: &task.message,
            result: &task.result,
            created_at: timestamp(task.created_at),
            updated_at: timestamp(task.updated_at),
            itself: path(&task.id),
            schema: SCHEMA,
            image_id: task.image_id.as_deref(),
            request_id: task.request_id.as_deref(),
            user_id: task.user_id.as_deref(),
            expires_at: task.expires_at.map(timestamp),
        }
    }
}

impl<'a> StubView<'a> {
    pub(super) fn new(task: &'a Task) -> Self {
        Self {
            id: &task.id,
            kind: task.kind.as_str(),
            status: task.status.as_str(),
            owner: &task.owner,
            created_at: timestamp(task.created_at),
            updated_at: timestamp(task.updated_at),
            itself: path(&task.id),
            schema: SCHEMA,
            expires_at: task.expires_at.map(timestamp),
        }
    }
}

pub(super) fn path(id: &str) -> String {
    format!("/v2/tasks/{id}")
}

fn is_empty(text: &Option<&str>) -> bool {
    text.is_none_or(str::is_empty)
}
