//! `PUT /v2/metadefs/namespaces/{namespace}`

use http::StatusCode;

use crate::api::v2::metadefs::view::NamespaceView;
use crate::api::v2::metadefs::{find, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Replaces what the namespace says of itself: what the document leaves out gets its default. What is in it stays.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    name: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::ChangedNamespace).await?;
    let namespace = find(api, call, name).await?;
    let owner = call.context.project_id.as_deref();
    let namespace = api.metadefs.update_namespace(namespace, &held.content, owner).await?;
    reply::json(StatusCode::OK, &NamespaceView::new(&namespace))
}
