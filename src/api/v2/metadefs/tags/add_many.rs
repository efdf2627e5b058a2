//! `POST /v2/metadefs/namespaces/{namespace}/tags`

use http::StatusCode;
use http::header::HeaderName;
use serde_json::{Map, Value, json};

use crate::api::header::joined;
use crate::api::v2::metadefs::{find, read};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;
use crate::schema::python::strip;

/// Says whether the tags that are there stay.
const APPEND: HeaderName = HeaderName::from_static("x-openstack-append");

/// Gives the namespace tags in place of those that it has, or, with a header, beside them.
pub(in crate::api) async fn handle(
    api: &Api,
    call: &Call<'_>,
    body: RequestBody,
    namespace: &str,
) -> Result<Response, Error> {
    let held = read(api, call, body, Document::Tags).await?;
    let namespace = find(api, call, namespace).await?;
    let keeps_others = joined(call.headers, APPEND).is_some_and(|word| is_true(&word));
    let names = names(&held.content);
    let answer = json!({"tags": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    api.metadefs.add_tags(&namespace, names, keeps_others).await?;
    reply::json(StatusCode::CREATED, &answer)
}

fn names(document: &Map<String, Value>) -> Vec<String> {
    let tags = document.get("tags").and_then(Value::as_array).into_iter().flatten();
    tags.filter_map(|tag| tag.get("name")?.as_str()).map(str::to_owned).collect()
}

/// What `oslo_utils.strutils.bool_from_string` takes for true.
fn is_true(word: &str) -> bool {
    matches!(strip(word).to_lowercase().as_str(), "1" | "t" | "true" | "on" | "y" | "yes")
}
