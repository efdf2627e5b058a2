//! `GET /v2/metadefs/namespaces`

use http::StatusCode;
use serde::Serialize;

use crate::api::domain_errors::Refusal;
use crate::api::policy::viewer;
use crate::api::query::link;
use crate::api::v2::metadefs::policy::{allows, enforce};
use crate::api::v2::metadefs::query::NamespaceList;
use crate::api::v2::metadefs::view::NamespaceView;
use crate::api::{Api, Call, Error, Response, reply};
use crate::metadef::listing::{NamespaceQuery, Viewer};

const PATH: &str = "/v2/metadefs/namespaces";

#[derive(Serialize)]
struct NamespacesView<'a> {
    namespaces: Vec<NamespaceView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
    first: String,
}

/// A page of the namespaces that the caller can see, with their resource types alone. Those that `get_metadef_namespace` refuses
/// vanish silently.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let query = call.query.unwrap_or("");
    let wanted = NamespaceList::parse(query, api.page)?;
    enforce(call, call.rule, None).await?;
    enforce(call, "list_metadef_resource_types", None).await?;
    let marker = match &wanted.marker {
        // Upstream takes it for a row id.
        Some(name) if name.is_empty() => return Err(Refusal::EmptyNamespaceMarker.into()),
        Some(name) => Some(api.metadefs.namespace(&viewer(call.context), name).await?.into_marker()),
        None => None,
    };
    let limit = wanted.limit;
    let found = api
        .metadefs
        .namespaces(NamespaceQuery {
            viewer: Viewer { is_admin: call.context.is_admin, project: call.context.project_id.clone() },
            visibility: wanted.visibility,
            resource_types: wanted.resource_types,
            marker,
            sort: wanted.sort,
            direction: wanted.direction,
            limit,
        })
        .await?;
    let mut namespaces = Vec::with_capacity(found.len());
    for (namespace, associations) in &found {
        if allows(call, "get_metadef_namespace", Some(namespace)).await? {
            namespaces.push((namespace, associations));
        }
    }
    // Unlike that of images, a page from which the policy took something is the last.
    let last = namespaces.last().filter(|_| namespaces.len() as u64 == limit);
    let view = NamespacesView {
        next: last.map(|(namespace, _)| link(PATH, query, Some(namespace.name()))),
        namespaces: namespaces
            .iter()
            .map(|(namespace, associations)| NamespaceView::new(namespace).with_associations(associations))
            .collect(),
        schema: "/v2/schemas/metadefs/namespaces",
        first: link(PATH, query, None),
    };
    reply::json(StatusCode::OK, &view)
}
