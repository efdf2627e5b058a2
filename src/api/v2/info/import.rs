//! `GET /v2/info/import`

use http::StatusCode;
use serde_json::json;

use crate::api::{Api, Call, Error, Response, reply};

/// The import methods that the configuration enables.
pub(in crate::api) async fn handle(api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    let methods = json!({"description": "Import methods available.", "type": "array", "value": api.import_methods});
    reply::json(StatusCode::OK, &json!({"import-methods": methods}))
}
