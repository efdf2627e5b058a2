//! `GET /v2/tasks/{id}`

use http::StatusCode;

use super::view::TaskView;
use super::viewer;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, Response, reply};

/// The task, with its input and what came of it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, id: &str) -> Result<Response, Error> {
    call.policy.enforce(call.rule, &NoTarget).await?;
    let task = api.tasks.get(&viewer(call.context), id).await?;
    let response = reply::json(StatusCode::OK, &TaskView::new(&task))?;
    Ok(reply::about_task(response, task.status.is_unfinished()))
}
