//! `POST /v2/metadefs/namespaces`

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde_json::Value;

use crate::api::v2::metadefs::policy::enforce;
use crate::api::v2::metadefs::read;
use crate::api::v2::metadefs::view::{NamespaceView, path};
use crate::api::{Api, Call, Error, RequestBody, Response, reply};
use crate::metadef::Document;

/// What a namespace may have in its document, and the rule for adding such things.
const PARTS: [(&str, &str); 4] = [
    ("resource_type_associations", "add_metadef_resource_type_association"),
    ("objects", "add_metadef_object"),
    ("properties", "add_metadef_property"),
    ("tags", "add_metadef_tag"),
];

/// Creates a namespace with all that is in its document. Where something is refused, nothing stays; upstream leaves some of it
/// behind in some cases.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, body: RequestBody) -> Result<Response, Error> {
    let held = read(api, call, body, Document::NewNamespace).await?;
    let document = &held.content;
    enforce(call, call.rule, None).await?;
    for (part, rule) in PARTS {
        if document.get(part).is_some_and(is_filled) {
            enforce(call, rule, None).await?;
        }
    }
    let namespace = api.metadefs.create_namespace(document, call.context.project_id.as_deref()).await?;
    let mut response = reply::json(StatusCode::CREATED, &NamespaceView::new(&namespace).with_document(document))?;
    let path = path(namespace.name());
    // The name comes as it is, but for what a header cannot hold.
    let location = format!("{}{}", call.host_url, utf8_percent_encode(&path, CONTROLS));
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(location)?);
    Ok(response)
}

fn is_filled(part: &Value) -> bool {
    match part {
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    }
}
