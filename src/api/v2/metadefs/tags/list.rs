//! `GET /v2/metadefs/namespaces/{namespace}/tags`

use http::StatusCode;
use serde::Serialize;

use crate::api::v2::metadefs::find;
use crate::api::v2::metadefs::query::ItemList;
use crate::api::v2::metadefs::view::TagName;
use crate::api::{Api, Call, Error, Response, reply};
use crate::metadef::listing::TagQuery;

#[derive(Serialize)]
struct TagsView<'a> {
    tags: Vec<TagName<'a>>,
}

/// The tags of the namespace; all of them unless the client sets a limit.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Response, Error> {
    let wanted = ItemList::parse(call.query.unwrap_or(""), 0)?;
    let namespace = find(api, call, namespace).await?;
    let marker = match &wanted.marker {
        Some(name) => Some(api.metadefs.tag(&namespace, name).await?),
        None => None,
    };
    let (sort, direction, limit) = (wanted.sort()?, wanted.direction, wanted.limit);
    let found = api.metadefs.tags(&namespace, TagQuery { namespace: 0, marker, sort, direction, limit }).await?;
    reply::json(StatusCode::OK, &TagsView { tags: found.iter().map(TagName::new).collect() })
}
