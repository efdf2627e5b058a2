//! `GET /v2/metadefs/namespaces/{namespace}/resource_types`

use http::StatusCode;
use serde::Serialize;

use crate::api::v2::metadefs::find;
use crate::api::v2::metadefs::policy::allows;
use crate::api::v2::metadefs::view::AssociationView;
use crate::api::{Api, Call, Error, Response, reply};

#[derive(Serialize)]
struct AssociationsView<'a> {
    resource_type_associations: Vec<AssociationView<'a>>,
}

/// The resource types that the namespace is associated with. Where `get_metadef_resource_type` refuses, there are none.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Response, Error> {
    let namespace = find(api, call, namespace).await?;
    // The rule speaks of the namespace, so it has one answer for all.
    let found = match allows(call, "get_metadef_resource_type", Some(&namespace)).await? {
        true => api.metadefs.associations(&namespace).await?,
        false => Vec::new(),
    };
    let resource_type_associations = found.iter().map(AssociationView::new).collect();
    reply::json(StatusCode::OK, &AssociationsView { resource_type_associations })
}
