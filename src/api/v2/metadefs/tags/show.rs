//! `GET /v2/metadefs/namespaces/{namespace}/tags/{tag}`

use http::StatusCode;

use crate::api::v2::metadefs::find;
use crate::api::v2::metadefs::view::NameView;
use crate::api::{Api, Call, Error, Response, reply};

/// The tag.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str, tag: &str) -> Result<Response, Error> {
    let namespace = find(api, call, namespace).await?;
    let tag = api.metadefs.tag(&namespace, tag).await?;
    reply::json(StatusCode::OK, &NameView::of_tag(&tag))
}
