//! `POST /v2/metadefs/namespaces/{namespace}/resource_types`

use http::StatusCode;

use crate::api::v2::metadefs::view::AssociationView;
use crate::api::v2::metadefs::{find, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Associates the namespace with a resource type, which comes into being if nobody has named it before.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::Association).await?;
    let namespace = find(api, call, namespace).await?;
    let association = api.metadefs.associate(&namespace, &held.content).await?;
    reply::json(StatusCode::CREATED, &AssociationView::new(&association))
}
