//! Documents that change an image, in the two dialects that upstream knows (upstream: `RequestDeserializer.update` in
//! `glance/api/v2/images.py`). Here they are read and held against the schema; what they do to an image is decided elsewhere.

mod pointer;

use serde_json::{Map, Value};

use super::limits::RESERVED_NAMESPACE;
use super::model::Image;
use super::schema::{ImageSchema, RESERVED};
use crate::schema::python::{Excerpt, display};

/// What a client can not set, beside columns.
const LINKS: [&str; 4] = ["direct_url", "self", "file", "schema"];
const AVAILABLE: &str = "add, remove, replace";

/// A dialect, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/openstack-images-v2.0-json-patch`: `{"add": "/name", "value": "x"}`
    V20,
    /// `application/openstack-images-v2.1-json-patch`: `{"op": "add", "path": "/name", "value": "x"}`, as RFC 6902
    V21,
}

impl MediaType {
    /// All of them.
    pub const NAMES: [&'static str; 2] =
        ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"];

    /// The dialect of a media type without parameters.
    pub fn named(name: &str) -> Option<Self> {
        let place = Self::NAMES.iter().position(|known| *known == name)?;
        [Self::V20, Self::V21].get(place).copied()
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    Add,
    Remove,
    Replace,
}

impl OperationKind {
    const ALL: [Self; 3] = [Self::Add, Self::Remove, Self::Replace];

    /// As in a document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
        }
    }
}

/// One operation of a patch (RFC 6902).
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub op: OperationKind,
    /// One step, or for a single location two. Never empty; a step can be an empty text.
    pub path: Vec<String>,
    /// As the schema allows; `None` for [`OperationKind::Remove`] alone.
    pub value: Option<Value>,
    /// The dialect of the document.
    pub media_type: MediaType,
}

impl Operation {
    /// The field or custom property.
    pub fn root(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// Which location: an index or `-`.
    pub fn position(&self) -> Option<&str> {
        self.path.get(1).map(String::as_str)
    }

    /// Whether adding what is there already is an error, not a replacement.
    pub fn refuses_present(&self) -> bool {
        self.media_type == MediaType::V20
    }
}

/// A document that is refused, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400
    #[error("{0}")]
    Invalid(String),
    /// 403
    #[error("{0}")]
    Forbidden(String),
}

fn invalid<T>(text: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Invalid(text.into()))
}

/// Reads a document, one change at a time. Whoever collects them stops at the first that is refused.
///
/// # Errors
/// The document is no list; for each change, the first thing that is wrong with it.
pub fn parse(
    media_type: MediaType,
    document: Value,
    schema: &ImageSchema,
) -> Result<impl Iterator<Item = Result<Operation, PatchError>>, PatchError> {
    let Value::Array(items) = document else {
        return invalid("Request body must be a JSON array of operation objects.");
    };
    Ok(items.into_iter().map(move |item| parse_operation(media_type, item, schema)))
}

fn parse_operation(media_type: MediaType, item: Value, schema: &ImageSchema) -> Result<Operation, PatchError> {
    let Value::Object(mut item) = item else { return invalid("Operations must be JSON objects.") };
    let (op, pointer) = match media_type {
        MediaType::V20 => read_v20(&item)?,
        MediaType::V21 => read_v21(&item)?,
    };
    let path = pointer::parse(pointer, |root| depth(root, op))?;
    let value = match (op, item.get_mut("value")) {
        (OperationKind::Remove, _) => None,
        (_, Some(value)) => Some(value.take()),
        (_, None) => return invalid(format!("Operation \"{}\" requires a member named \"value\".", op.name())),
    };
    check_root(path.first().map_or("", String::as_str))?;
    let mut operation = Operation { op, path, value, media_type };
    if let Some(value) = operation.value.take() {
        operation.value = Some(validated(&operation, value, schema)?);
    }
    Ok(operation)
}

fn read_v21(item: &Map<String, Value>) -> Result<(OperationKind, &Value), PatchError> {
    let one_of = format!("It must be one of the following: {AVAILABLE}.");
    let op = match item.get("op") {
        None | Some(Value::Null) => return invalid(format!("Unable to find `op` in JSON Schema change. {one_of}")),
        Some(op) => op,
    };
    let Some(known) = OperationKind::ALL.into_iter().find(|known| op.as_str() == Some(known.name())) else {
        return invalid(format!("Invalid operation: `{}`. {one_of}", Excerpt(&display(op))));
    };
    match item.get("path") {
        Some(pointer) => Ok((known, pointer)),
        None => invalid("Unable to find 'path' in JSON Schema change"),
    }
}

fn read_v20(item: &Map<String, Value>) -> Result<(OperationKind, &Value), PatchError> {
    let mut found = OperationKind::ALL.into_iter().filter_map(|op| Some((op, item.get(op.name())?)));
    let members = "member named \"add\", \"remove\", or \"replace\".";
    match (found.next(), found.next()) {
        (Some(operation), None) => Ok(operation),
        (Some(_), Some(_)) => invalid(format!("Operation objects must contain only one {members}")),
        (None, _) => invalid(format!("Operation objects must contain exactly one {members}")),
    }
}

/// Steps that a path must have. Only a single location lies deeper than its field.
fn depth(root: &str, op: OperationKind) -> usize {
    match (root, op) {
        ("locations", OperationKind::Add | OperationKind::Remove) => 2,
        _ => 1,
    }
}

fn check_root(root: &str) -> Result<(), PatchError> {
    let is_of_service = Image::column_named(root).is_some_and(|column| Image::setter(column).is_none());
    if is_of_service || LINKS.contains(&root) {
        return Err(PatchError::Forbidden(format!("Attribute '{root}' is read-only.")));
    }
    if RESERVED.contains(&root) || root.starts_with(RESERVED_NAMESPACE) {
        return Err(PatchError::Forbidden(format!("Attribute '{}' is reserved.", Excerpt(root))));
    }
    Ok(())
}

/// The value again, if the schema has nothing against it at this place.
fn validated(operation: &Operation, value: Value, schema: &ImageSchema) -> Result<Value, PatchError> {
    let is_element = operation.path.len() > 1;
    let part = if is_element { Value::Array(vec![value]) } else { value };
    let mut document = Value::Object(Map::from_iter([(operation.root().to_owned(), part)]));
    schema.validate(&document).or_else(|mismatch| invalid(mismatch.to_string()))?;
    let part = document.get_mut(operation.root()).map(Value::take).unwrap_or_default();
    Ok(match part {
        Value::Array(mut elements) if is_element => elements.pop().unwrap_or_default(),
        whole => whole,
    })
}

#[cfg(test)]
mod tests;
