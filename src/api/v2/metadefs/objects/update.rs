//! `PUT /v2/metadefs/namespaces/{namespace}/objects/{object}`

use http::StatusCode;

use crate::api::v2::metadefs::view::ObjectView;
use crate::api::v2::metadefs::{find_for_objects, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Replaces the object.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
    object: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::ChangedObject).await?;
    let namespace = find_for_objects(api, call, namespace).await?;
    let object = api.metadefs.object(&namespace, object).await?;
    let object = api.metadefs.update_object(&namespace, &object, &held.content).await?;
    reply::json(StatusCode::OK, &ObjectView::new(namespace.name(), &object))
}
