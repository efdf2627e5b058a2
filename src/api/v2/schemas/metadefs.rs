//! `GET /v2/schemas/metadefs/{name}`

use http::StatusCode;
use serde_json::Value;

use super::show::pages;
use crate::api::{Api, Call, Error, Response, reply};
use crate::metadef::schemas::{ASSOCIATION, NAMELESS_PROPERTY, NAMESPACE, OBJECT, PROPERTY, TAG};

/// The schema of a namespace.
pub(in crate::api) async fn namespace(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, NAMESPACE.raw())
}

/// The schema of a page of namespaces.
pub(in crate::api) async fn namespaces(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &list("namespaces", NAMESPACE.raw()))
}

/// The schema of the association of a namespace with a resource type.
pub(in crate::api) async fn resource_type(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, ASSOCIATION.raw())
}

/// The schema of a list of such associations.
pub(in crate::api) async fn resource_types(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &list("resource_type_associations", ASSOCIATION.raw()))
}

/// The schema of a property.
pub(in crate::api) async fn property(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, PROPERTY.raw())
}

/// The schema of properties by their names.
pub(in crate::api) async fn properties(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    let mut schema = list("properties", NAMELESS_PROPERTY.raw());
    if let Some(properties) = schema.pointer_mut("/properties/properties").and_then(Value::as_object_mut) {
        let item = properties.shift_remove("items").unwrap_or_default();
        properties.insert("type".to_owned(), "object".into());
        properties.insert("additionalProperties".to_owned(), item);
    }
    reply::json(StatusCode::OK, &schema)
}

/// The schema of an object.
pub(in crate::api) async fn object(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, OBJECT.raw())
}

/// The schema of a list of objects.
pub(in crate::api) async fn objects(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &list("objects", OBJECT.raw()))
}

/// The schema of a tag.
pub(in crate::api) async fn tag(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, TAG.raw())
}

/// The schema of a list of tags.
pub(in crate::api) async fn tags(_api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &list("tags", TAG.raw()))
}

/// A list whose items' definitions stand outside of them.
fn list(name: &str, item: &Value) -> Value {
    let mut item = item.clone();
    let definitions = item.as_object_mut().and_then(|item| item.shift_remove("definitions"));
    let mut schema = pages(name, &item);
    if let Some(schema) = schema.as_object_mut() {
        schema.extend(definitions.map(|definitions| ("definitions".to_owned(), definitions)));
    }
    schema
}
