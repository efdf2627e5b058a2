//! What an image's document may look like (upstream: `get_schema` in `glance/api/v2/images.py`, `glance/schema.py`).

mod base;
pub mod location;

use std::path::PathBuf;
use std::{fs, io};

use serde_json::{Map, Value, json};
use tracing::debug;

use super::model::Image;
use crate::config::{Config, ini};
use crate::db::model::Column;
use crate::schema::{Mismatch, Schema};

/// Fields that the document of a new image must not have.
pub const DISALLOWED: &[&str] = &["direct_url", "self", "file", "schema", "stores"];
/// Names that no custom property may have.
pub const RESERVED: &[&str] = &["location", "deleted", "deleted_at"];

/// Where operators describe properties of their own.
const FILE: &str = "schema-image.json";

/// Whether a client sets or reads this as a field of the image; all else in a document are custom properties. Upstream takes the digest
/// and its algorithm for such.
pub fn is_base(name: &str) -> bool {
    let is_digest = |column: Column| matches!(column, Column::OsHashAlgo | Column::OsHashValue);
    name == "tags" || Image::column_named(name).is_some_and(|column| !is_digest(column))
}

/// An operator's `schema-image.json` that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{} can not be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("schema-image.json is not JSON: {0}")]
    Malformed(#[source] serde_json::Error),
    #[error("schema-image.json: {0}")]
    Shape(String),
    #[error("custom properties ({0}) conflict with base properties")]
    Conflict(String),
}

/// The schema in force.
#[derive(Debug)]
pub struct ImageSchema {
    schema: Schema,
}

impl ImageSchema {
    /// Without custom properties but those of type string, which always may be there.
    pub fn new(config: &Config) -> Self {
        let formats = &config.image_format;
        Self::assemble(base::properties(&formats.disk_formats, &formats.container_formats), None)
    }

    /// With the properties of the operator's `schema-image.json`, if there is one. Reads the file.
    ///
    /// # Errors
    /// The file can not be read; else as [`ImageSchema::with_custom`].
    pub fn load(config: &Config) -> Result<Self, LoadError> {
        let Some(path) = config.find_file(FILE) else {
            debug!("no {FILE}: images have no properties beyond those of type string");
            return Ok(Self::new(config));
        };
        let text = fs::read(&path).and_then(ini::text).map_err(|source| LoadError::Unreadable { path, source })?;
        Self::with_custom(config, &text)
    }

    /// With the properties that the text of a `schema-image.json` describes: either names to schemas, or an object with
    /// `properties` and `required`.
    ///
    /// # Errors
    /// The text is no such thing, or describes a field that every image has.
    fn with_custom(config: &Config, text: &str) -> Result<Self, LoadError> {
        let document: Value = serde_json::from_str(text).map_err(LoadError::Malformed)?;
        let shape = |what: &str| LoadError::Shape(what.to_owned());
        let (custom, required) = match document {
            Value::Object(mut document) if document.contains_key("properties") => {
                (document.remove("properties").unwrap_or_default(), document.remove("required"))
            }
            flat => (flat, None),
        };
        let Value::Object(custom) = custom else { return Err(shape("the properties are no object")) };
        let formats = &config.image_format;
        let mut properties = base::properties(&formats.disk_formats, &formats.container_formats);
        let conflicts: Vec<_> = custom.keys().filter(|name| properties.contains_key(*name)).cloned().collect();
        if !conflicts.is_empty() {
            return Err(LoadError::Conflict(conflicts.join(", ")));
        }
        for (name, schema) in custom {
            let Value::Object(mut schema) = schema else { return Err(shape("a property's schema is no object")) };
            schema.insert("is_base".to_owned(), json!(false));
            properties.insert(name, Value::Object(schema));
        }
        let required = match required {
            None | Some(Value::Null) => None,
            Some(Value::Array(names)) if names.is_empty() => None,
            Some(names @ Value::Array(_)) => Some(names),
            Some(_) => return Err(shape("required is no list")),
        };
        let assembled = Self::assemble(properties, required);
        assembled.schema.check().map_err(LoadError::Shape)?;
        Ok(assembled)
    }

    fn assemble(properties: Map<String, Value>, required: Option<Value>) -> Self {
        let mut raw = json!({
            "name": "image",
            "properties": properties,
            "additionalProperties": {"type": "string"},
        });
        if let (Some(raw), Some(required)) = (raw.as_object_mut(), required) {
            raw.insert("required".to_owned(), required);
        }
        if let Some(raw) = raw.as_object_mut() {
            raw.insert("links".to_owned(), base::links());
        }
        Self { schema: Schema::new("image", raw) }
    }

    /// Checks a whole document, or the part of one that a patch sets.
    ///
    /// # Errors
    /// The flaw that upstream would name, in its words.
    pub fn validate(&self, document: &Value) -> Result<(), Mismatch> {
        self.schema.validate(document)
    }

    /// The names of the properties that it describes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let properties = self.raw().get("properties").and_then(Value::as_object);
        properties.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// The schema as clients can read it.
    pub fn raw(&self) -> &Value {
        self.schema.raw()
    }
}

#[cfg(test)]
mod tests;
