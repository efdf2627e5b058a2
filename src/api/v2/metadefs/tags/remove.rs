//! `DELETE /v2/metadefs/namespaces/{namespace}/tags/{tag}`

use crate::api::v2::metadefs::find;
use crate::api::{Api, Call, Error, Response, reply};

/// Takes the tag from the namespace.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str, tag: &str) -> Result<Response, Error> {
    let namespace = find(api, call, namespace).await?;
    api.metadefs.remove_tag(&namespace, tag).await?;
    Ok(reply::no_content())
}
