//! `DELETE /v2/metadefs/namespaces/{namespace}/properties/{property}`

use crate::api::v2::metadefs::find;
use crate::api::{Api, Call, Error, Response, reply};

/// Takes the property from the namespace.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    property: &str,
) -> Result<Response, Error> {
    let namespace = find(api, call, namespace).await?;
    api.metadefs.remove_property(&namespace, property).await?;
    Ok(reply::no_content())
}
