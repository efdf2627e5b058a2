//! `GET /v2/metadefs/namespaces/{namespace}/objects/{object}`

use http::StatusCode;

use crate::api::v2::metadefs::find_for_objects;
use crate::api::v2::metadefs::view::ObjectView;
use crate::api::{Api, Call, Error, Response, reply};

/// The object.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    object: &str,
) -> Result<Response, Error> {
    let namespace = find_for_objects(api, call, namespace).await?;
    let object = api.metadefs.object(&namespace, object).await?;
    reply::json(StatusCode::OK, &ObjectView::new(namespace.name(), &object))
}
