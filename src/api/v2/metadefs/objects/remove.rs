//! `DELETE /v2/metadefs/namespaces/{namespace}/objects/{object}`

use crate::api::v2::metadefs::find_for_objects;
use crate::api::{Api, Call, Error, Response, reply};

/// Takes the object from the namespace.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    object: &str,
) -> Result<Response, Error> {
    let namespace = find_for_objects(api, call, namespace).await?;
    api.metadefs.remove_object(&namespace, object).await?;
    Ok(reply::no_content())
}
