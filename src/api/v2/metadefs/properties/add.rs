//! `POST /v2/metadefs/namespaces/{namespace}/properties`

use http::StatusCode;

use crate::api::v2::metadefs::{find, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Adds a property to the namespace.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::Property).await?;
    let namespace = find(api, call, namespace).await?;
    api.metadefs.add_property(&namespace, &held.content).await?;
    reply::json(StatusCode::CREATED, &held.content)
}
