//! `POST /v2/metadefs/namespaces/{namespace}/objects`

use http::StatusCode;

use crate::api::v2::metadefs::view::ObjectView;
use crate::api::v2::metadefs::{find_for_objects, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Adds an object to the namespace.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::NewObject).await?;
    let namespace = find_for_objects(api, call, namespace).await?;
    let object = api.metadefs.add_object(&namespace, &held.content).await?;
    reply::json(StatusCode::CREATED, &ObjectView::new(namespace.name(), &object))
}
