//! `POST /v2/tasks`

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde_json::{Value, json};

use super::task_schema;
use super::view::{TaskView, path};
use crate::api::documents::Held;
use crate::api::policy::NoTarget;
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::schema::Schema;
use crate::schema::python::{Excerpt, or_none};
use crate::task::TaskKind;

/// Registers a task and begins it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Response, Error> {
    call.policy.enforce(call.rule, &NoTarget).await?;
    let held = read(api, call, body).await?;
    let (kind, input) = held.content;
    if kind == TaskKind::Import {
        check_source(api, input.get("import_from")).await?;
    }
    let task = api.tasks.create(kind, call.context, input).await?;
    let mut response = reply::json(StatusCode::CREATED, &TaskView::new(&task))?;
    let location = HeaderValue::try_from(path(&task.id)).map_err(Error::internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(reply::about_task(response, true))
}

async fn read(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Held<(TaskKind, Value)>, Error> {
    let read = api.read_document(call, body, |value, _| check(value)).await?;
    read.ok_or_else(|| Error::bad_request("Body expected in request."))
}

fn check(mut body: Value) -> Result<(TaskKind, Value), Error> {
    for name in ["type", "input"] {
        if body.get(name).is_none() {
            return Err(Error::bad_request(format!("Task '{name}' is required")));
        }
    }
    let mut strict = task_schema();
    if let Some(members) = strict.as_object_mut() {
        members.insert("additionalProperties".to_owned(), json!(false));
    }
    Schema::new("task", strict).validate(&body).map_err(|flaw| Error::bad_request(flaw.to_string()))?;
    let kind = body.get("type").and_then(Value::as_str).and_then(TaskKind::named);
    let kind = kind.ok_or_else(|| Error::bad_request("Task 'type' is required"))?;
    Ok((kind, body.get_mut("input").map(Value::take).unwrap_or_default()))
}

/// Whether an import may read there (upstream: `validate_legacy_import_from_uri`).
async fn check_source(api: &Api, source: Option<&Value>) -> Result<(), Error> {
    let url = source.and_then(Value::as_str).filter(|url| !url.is_empty());
    let Some(url) = url else {
        let given = source.map(crate::schema::python::display);
        return Err(Error::bad_request(format!("Invalid location: {}", or_none(given.as_deref()))));
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let is_file = url.starts_with("file:///") || url.starts_with("filesystem:///");
        return Err(Error::bad_request(if is_file {
            "File based imports are not allowed. Please use a non-local source of image data."
        } else {
            "The given uri is not valid. Please specify a valid uri from the following list of supported uri ['http']"
        }));
    }
    if api.tasks.may_fetch(url).await {
        return Ok(());
    }
    Err(Error::bad_request(format!("URI for legacy import task does not pass filtering: {}", Excerpt(url))))
}
