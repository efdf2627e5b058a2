//! `GET /v2/metadefs/namespaces/{namespace}`

use http::StatusCode;

use crate::api::domain_errors::of_shown_namespace;
use crate::api::policy::viewer;
use crate::api::v2::metadefs::policy::enforce;
use crate::api::v2::metadefs::query::resource_type;
use crate::api::v2::metadefs::view::NamespaceView;
use crate::api::{Api, Call, Error, Response, reply};
use crate::metadef::Contents;

/// What the caller must be allowed to see beside the namespace itself.
const RULES: [&str; 4] =
    ["list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties", "get_metadef_tags"];

/// The namespace with all that is in it. With `resource_type`, properties have the names that they have on such a resource.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let resource_type = resource_type(call.query.unwrap_or(""), true)?;
    let found = api.metadefs.namespace(&viewer(call.context), name).await;
    let namespace = found.map_err(of_shown_namespace)?;
    for rule in [call.rule].into_iter().chain(RULES) {
        enforce(call, rule, Some(&namespace)).await?;
    }
    let contents = api.metadefs.contents(&namespace).await?;
    let prefix = resource_type.and_then(|name| prefix(&contents, &name)).unwrap_or("");
    reply::json(StatusCode::OK, &NamespaceView::new(&namespace).with_contents(&contents, prefix))
}

fn prefix<'a>(contents: &'a Contents, resource_type: &str) -> Option<&'a str> {
    let association = contents.associations.iter().find(|association| association.name == resource_type)?;
    association.prefix.as_deref()
}
