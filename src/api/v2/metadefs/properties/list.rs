//! `GET /v2/metadefs/namespaces/{namespace}/properties`

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::v2::metadefs::find;
use crate::api::{Api, Call, Error, Response, reply};

#[derive(Serialize)]
struct PropertiesView {
    properties: Map<String, Value>,
}

/// All properties of the namespace by their names.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Response, Error> {
    let namespace = find(api, call, namespace).await?;
    let found = api.metadefs.properties(&namespace).await?;
    let properties = found.into_iter().map(|property| (property.name, property.schema.into())).collect();
    reply::json(StatusCode::OK, &PropertiesView { properties })
}
