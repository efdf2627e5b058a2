//! `POST /v2/tasks`

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde_json::{Value, json};

use super::task_schema;
use super::view::{TaskView, path};
use crate::api::domain_errors::Refusal;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::schema::Schema;
use crate::task::TaskKind;

/// Registers a task and begins it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Response, Error> {
    call.policy.enforce(call.rule, &NoTarget).await?;
    let held = api.read_document(call, body, |value, _| check(value)).await?;
    let (kind, input) = held.content;
    if kind == TaskKind::Import {
        check_source(api, input.get("import_from")).await?;
    }
    let task = api.tasks.create(kind, call.context, input).await?;
    let mut response = reply::json(StatusCode::CREATED, &TaskView::new(&task))?;
    let location = HeaderValue::try_from(path(&task.id))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(reply::about_task(response, true))
}

fn check(mut body: Value) -> Result<(TaskKind, Value), Error> {
    for name in ["type", "input"] {
        if body.get(name).is_none() {
            return Err(Refusal::NoTaskField(name).into());
        }
    }
    let mut strict = task_schema();
    if let Some(members) = strict.as_object_mut() {
        members.insert("additionalProperties".to_owned(), json!(false));
    }
    Schema::new("task", strict).validate(&body)?;
    let kind = body.get("type").and_then(Value::as_str).and_then(TaskKind::named);
    let kind = kind.ok_or(Refusal::NoTaskField("type"))?;
    Ok((kind, body.get_mut("input").map(Value::take).unwrap_or_default()))
}

/// Whether an import may read there (upstream: `validate_legacy_import_from_uri`).
async fn check_source(api: &Api, source: Option<&Value>) -> Result<(), Error> {
    let url = source.and_then(Value::as_str).filter(|url| !url.is_empty());
    let Some(url) = url else {
        return Err(Refusal::TaskSource(source).into());
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let is_file = url.starts_with("file:///") || url.starts_with("filesystem:///");
        return Err(if is_file { Refusal::LocalTaskSource } else { Refusal::TaskSourceScheme }.into());
    }
    if api.tasks.may_fetch(url).await {
        return Ok(());
    }
    Err(Refusal::TaskSourceFiltered(url).into())
}
