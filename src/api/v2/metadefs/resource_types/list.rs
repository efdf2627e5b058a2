//! `GET /v2/metadefs/resource_types`

use http::StatusCode;
use serde::Serialize;

use crate::api::v2::metadefs::policy::enforce;
use crate::api::v2::metadefs::view::NameView;
use crate::api::{Api, Call, Error, Response, reply};

#[derive(Serialize)]
struct ResourceTypesView<'a> {
    resource_types: Vec<NameView<'a>>,
}

/// All resource types that any namespace ever named.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    enforce(call, call.rule, None).await?;
    let found = api.metadefs.resource_types().await?;
    let resource_types = found.iter().map(NameView::of_type).collect();
    reply::json(StatusCode::OK, &ResourceTypesView { resource_types })
}
