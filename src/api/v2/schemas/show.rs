//! `GET /v2/schemas/{name}`

use http::StatusCode;
use serde_json::{Value, json};

use super::member::schema;
use crate::api::v2::tasks::{partial_schema, task_schema};
use crate::api::{Api, Call, Error, Response, reply};

/// The schema of an image.
pub(in crate::api) async fn image(api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, api.schema.raw())
}

/// The schema of a page of images.
pub(in crate::api) async fn images(api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &pages("images", api.schema.raw()))
}

/// The schema of a membership.
pub(in crate::api) async fn member(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &schema())
}

/// The schema of a list of memberships.
pub(in crate::api) async fn members(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &list("members", &schema()))
}

/// The schema of a task.
pub(in crate::api) async fn task(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &task_schema())
}

/// The schema of a list of tasks.
pub(in crate::api) async fn tasks(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &list("tasks", &partial_schema()))
}

/// A list that comes in pages (upstream: `CollectionSchema.raw` in `glance/schema.py`).
pub(super) fn pages(name: &str, item: &Value) -> Value {
    json!({
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

/// A list that comes whole (upstream: `CollectionSchema.minimal`).
fn list(name: &str, item: &Value) -> Value {
    json!({
        "name": name,
        "properties": {name: {"type": "array", "items": item}, "schema": {"type": "string"}},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    })
}
