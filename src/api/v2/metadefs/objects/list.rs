//! `GET /v2/metadefs/namespaces/{namespace}/objects`

use http::StatusCode;
use serde::Serialize;

use crate::api::v2::metadefs::find_for_objects;
use crate::api::v2::metadefs::policy::allows;
use crate::api::v2::metadefs::query::ItemList;
use crate::api::v2::metadefs::view::ObjectView;
use crate::api::{Api, Call, Error, Response, reply};

#[derive(Serialize)]
struct ObjectsView<'a> {
    objects: Vec<ObjectView<'a>>,
    schema: &'static str,
}

/// All objects of the namespace: parameters for pages and order are checked, but have no effect. Where `get_metadef_object` refuses,
/// there are none.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Response, Error> {
    ItemList::parse(call.query.unwrap_or(""), 1)?;
    let namespace = find_for_objects(api, call, namespace).await?;
    // The rule speaks of the namespace, so it has one answer for all.
    let objects = match allows(call, "get_metadef_object", Some(&namespace)).await? {
        true => api.metadefs.objects(&namespace).await?,
        false => Vec::new(),
    };
    let objects = objects.iter().map(|object| ObjectView::new(namespace.name(), object)).collect();
    // Upstream leaves out the first slash.
    reply::json(StatusCode::OK, &ObjectsView { objects, schema: "v2/schemas/metadefs/objects" })
}
