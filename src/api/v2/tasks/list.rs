//! `GET /v2/tasks`

use http::StatusCode;
use serde::Serialize;

use super::view::StubView;
use super::viewer;
use crate::api::policy::NoTarget;
use crate::api::query::{self, TaskListQuery};
use crate::api::{Api, Call, Error, Response, reply};
use crate::task::TaskQuery;

#[derive(Serialize)]
struct TasksView<'a> {
    tasks: Vec<StubView<'a>>,
    first: String,
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A page of the tasks that the caller may see.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    call.policy.enforce(call.rule, &NoTarget).await?;
    let query = call.query.unwrap_or("");
    let TaskListQuery { limit, marker, sort_key, is_descending, filters } = TaskListQuery::parse(query, api.page)?;
    let wanted = TaskQuery { viewer: viewer(call.context), limit, marker, sort_key, is_descending, filters };
    let found = api.tasks.list(wanted).await?;
    let is_full = found.len() as u64 == limit;
    let next = found.last().filter(|_| is_full).map(|last| query::link("/v2/tasks", query, Some(&last.id)));
    let view = TasksView {
        tasks: found.iter().map(StubView::new).collect(),
        first: query::link("/v2/tasks", query, None),
        schema: "/v2/schemas/tasks",
        next,
    };
    reply::json(StatusCode::OK, &view)
}
