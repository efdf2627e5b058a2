//! `GET /v2/info/usage`

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::{Api, Call, Error, Response, reply};

/// What the caller's project uses of the limits that Keystone keeps; empty where it keeps none.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let found = api.images.limit_usage(call.context.project_id.as_deref()).await?;
    let usage: Map<String, Value> = found
        .into_iter()
        .map(|(resource, found)| (resource.name().to_owned(), json!({"usage": found.usage, "limit": found.limit})))
        .collect();
    reply::json(StatusCode::OK, &json!({"usage": usage}))
}
