//! `PUT /v2/metadefs/namespaces/{namespace}/properties/{property}`

use http::StatusCode;

use crate::api::v2::metadefs::{find, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Replaces the property.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
    property: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::Property).await?;
    let namespace = find(api, call, namespace).await?;
    let property = api.metadefs.property(&namespace, property).await?;
    api.metadefs.update_property(&namespace, &property, &held.content).await?;
    reply::json(StatusCode::OK, &held.content)
}
