//! `GET /v2/images/{id}/tasks`

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::api::domain_errors::of_tasks;
use crate::api::policy::{moment, viewer};
use crate::api::v2::tasks;
use crate::api::{Api, Call, Error, Response, reply};
use crate::task::Task;

#[derive(Serialize)]
struct TasksView<'a> {
    tasks: Vec<RecordView<'a>>,
}

/// A task as the database has it: upstream shows the row itself, in other forms than elsewhere.
#[derive(Serialize)]
struct RecordView<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: &'a str,
    owner: &'a str,
    expires_at: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    deleted_at: Option<String>,
    deleted: bool,
    image_id: Option<&'a str>,
    request_id: Option<&'a str>,
    user_id: Option<&'a str>,
    input: &'a Option<Value>,
    result: &'a Option<Value>,
    message: &'a str,
}

/// The tasks that concern the image, of those that the caller may see.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = api.images.get(&viewer(call.context), id).await.map_err(of_tasks)?;
    call.policy.enforce_on(call.rule, &found).await?;
    let tasks = api.tasks.of_image(&tasks::viewer(call.context), &found.id).await?;
    let response = reply::json(StatusCode::OK, &TasksView { tasks: tasks.iter().map(record).collect() })?;
    Ok(reply::about_task(response, tasks.iter().any(|task| task.status.is_unfinished())))
}

fn record(task: &Task) -> RecordView<'_> {
    RecordView {
        id: &task.id,
        kind: task.kind.as_str(),
        status: task.status.as_str(),
        owner: &task.owner,
        expires_at: task.expires_at.and_then(moment),
        created_at: moment(task.created_at),
        updated_at: moment(task.updated_at),
        deleted_at: task.deleted_at.and_then(moment),
        deleted: task.deleted,
        image_id: task.image_id.as_deref(),
        request_id: task.request_id.as_deref(),
        user_id: task.user_id.as_deref(),
        input: &task.input,
        result: &task.result,
        message: &task.message,
    }
}
