//! `POST /v2/metadefs/namespaces/{namespace}/tags/{tag}`

use http::StatusCode;
use serde_json::json;

use crate::api::v2::metadefs::look_up;
use crate::api::v2::metadefs::policy::enforce;
use crate::api::v2::metadefs::view::NameView;
use crate::api::{Api, Call, Error, Response, reply};
use crate::metadef::Document;

/// Adds a tag to the namespace.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str, tag: &str) -> Result<Response, Error> {
    let namespace = look_up(api, call, namespace).await?;
    Document::Tag.read(json!({"name": tag}))?;
    enforce(call, call.rule, Some(&namespace)).await?;
    let tag = api.metadefs.add_tag(&namespace, tag).await?;
    reply::json(StatusCode::CREATED, &NameView::of_tag(&tag))
}
