//! `DELETE /v2/metadefs/namespaces/{namespace}/objects`, `…/properties` and `…/tags`

use crate::api::v2::metadefs::find;
use crate::api::v2::metadefs::policy::enforce;
use crate::api::{Api, Call, Error, Response, reply};
use crate::metadef::ItemKind;

/// Deletes all objects of the namespace.
pub(in crate::api) async fn objects(api: &Api, call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let namespace = find(api, call, name).await?;
    api.metadefs.clear(&namespace, ItemKind::Object).await?;
    Ok(reply::no_content())
}

/// Deletes all properties of the namespace.
pub(in crate::api) async fn properties(api: &Api, call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let namespace = find(api, call, name).await?;
    api.metadefs.clear(&namespace, ItemKind::Property).await?;
    Ok(reply::no_content())
}

/// Deletes all tags of the namespace, for which there is a rule besides.
pub(in crate::api) async fn tags(api: &Api, call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let namespace = find(api, call, name).await?;
    enforce(call, "delete_metadef_tags", Some(&namespace)).await?;
    api.metadefs.clear(&namespace, ItemKind::Tag).await?;
    Ok(reply::no_content())
}
