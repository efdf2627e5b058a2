//! `GET /v2/schemas/{name}`

use http::StatusCode;
use serde_json::{Value, json};

use super::member;
use crate::api::endpoint::SchemaName;
use crate::api::{Api, Error, Response, reply};

/// The schema as JSON. Everybody who is known may read it.
pub(in crate::api) fn handle(api: &Api, name: SchemaName) -> Result<Response, Error> {
    match name {
        SchemaName::Image => reply::json(StatusCode::OK, api.schema.raw()),
        SchemaName::Images => reply::json(StatusCode::OK, &pages("images", api.schema.raw())),
        SchemaName::Member => reply::json(StatusCode::OK, &member::schema()),
        SchemaName::Members => reply::json(StatusCode::OK, &list("members", &member::schema())),
    }
}

/// A list that comes in pages (upstream: `CollectionSchema.raw` in `glance/schema.py`).
fn pages(name: &str, item: &Value) -> Value {
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
