//! `GET /v2/metadefs/namespaces/{namespace}/properties/{property}`

use http::StatusCode;

use crate::api::domain_errors::Refusal;
use crate::api::v2::metadefs::find;
use crate::api::v2::metadefs::policy::enforce;
use crate::api::v2::metadefs::query::resource_type;
use crate::api::v2::metadefs::view;
use crate::api::{Api, Call, Error, Response, reply};

/// The property. With `resource_type`, its name in the path is the one that it has on such a resource.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    property: &str,
) -> Result<Response, Error> {
    let resource_type = resource_type(call.query.unwrap_or(""), false)?;
    let namespace = find(api, call, namespace).await?;
    let mut name = property;
    if let Some(resource_type) = resource_type {
        enforce(call, "get_metadef_resource_type", Some(&namespace)).await?;
        let prefix = api.metadefs.association(&namespace, &resource_type).await?.prefix;
        let bare = prefix.as_deref().filter(|prefix| !prefix.is_empty()).and_then(|prefix| name.strip_prefix(prefix));
        name = bare.ok_or(Refusal::NotPrefixed { property, prefix: prefix.as_deref() })?;
    }
    let property = api.metadefs.property(&namespace, name).await?;
    reply::json(StatusCode::OK, &view::property(&property))
}
