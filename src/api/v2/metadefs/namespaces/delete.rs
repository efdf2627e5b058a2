//! `DELETE /v2/metadefs/namespaces/{namespace}`

use crate::api::v2::metadefs::find;
use crate::api::{Api, Call, Error, Response, reply};

/// Deletes the namespace with all that is in it.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let namespace = find(api, call, name).await?;
    api.metadefs.delete_namespace(&namespace).await?;
    Ok(reply::no_content())
}
