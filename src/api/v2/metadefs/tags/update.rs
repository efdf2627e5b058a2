//! `PUT /v2/metadefs/namespaces/{namespace}/tags/{tag}`

use http::StatusCode;
use serde_json::Value;

use crate::api::v2::metadefs::view::NameView;
use crate::api::v2::metadefs::{find, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// Renames the tag.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
    tag: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::Tag).await?;
    let namespace = find(api, call, namespace).await?;
    let tag = api.metadefs.tag(&namespace, tag).await?;
    let name = held.content.get("name").and_then(Value::as_str).unwrap_or("");
    let tag = api.metadefs.update_tag(&namespace, tag, name).await?;
    reply::json(StatusCode::OK, &NameView::of_tag(&tag))
}
