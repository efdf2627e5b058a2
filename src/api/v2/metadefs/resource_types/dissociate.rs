//! `DELETE /v2/metadefs/namespaces/{namespace}/resource_types/{resource_type}`

use crate::api::domain_errors::of_dissociation;
use crate::api::v2::metadefs::find;
use crate::api::{Api, Call, Error, Response, reply};

/// Ends the association; the resource type stays.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    resource_type: &str,
) -> Result<Response, Error> {
    let namespace = find(api, call, namespace).await?;
    let ended = api.metadefs.dissociate(&namespace, resource_type).await;
    ended.map_err(|error| of_dissociation(error, resource_type))?;
    Ok(reply::no_content())
}
