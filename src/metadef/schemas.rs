//! What documents of metadata definitions may look like (upstream: `get_schema` in `glance/api/v2/metadef_*.py`).

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::schema::Schema;

pub(crate) static NAMESPACE: LazyLock<Schema> = LazyLock::new(|| {
    let parts = (namespace_properties(), Some(definitions(false)), json!(["namespace"]));
    assemble("namespace", parts)
});
pub(crate) static OBJECT: LazyLock<Schema> =
    LazyLock::new(|| assemble("object", (object_properties(), Some(definitions(false)), json!(["name"]))));
pub(crate) static PROPERTY: LazyLock<Schema> = LazyLock::new(|| property(json!(["type", "title", "name"])));
/// A property that has its name before it.
pub(crate) static NAMELESS_PROPERTY: LazyLock<Schema> = LazyLock::new(|| property(json!(["type", "title"])));
pub(crate) static ASSOCIATION: LazyLock<Schema> =
    LazyLock::new(|| assemble("resource_type_association", (association_properties(), None, json!(["name"]))));
pub(crate) static TAG: LazyLock<Schema> = LazyLock::new(|| assemble("tag", (tag_properties(), None, json!(["name"]))));
/// Several tags at once.
pub(crate) static TAGS: LazyLock<Schema> = LazyLock::new(|| {
    let item = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": false,
    });
    assemble("tags", (json!({"tags": {"type": "array", "items": item}}), None, Value::Null))
});

/// Upstream: `Schema.raw`. `parts`: the properties, the definitions, and the names of properties that must be there.
fn assemble(name: &str, parts: (Value, Option<Value>, Value)) -> Schema {
    let (properties, definitions, required) = parts;
    let mut raw = json!({"name": name, "properties": properties, "additionalProperties": false});
    if let Some(raw) = raw.as_object_mut() {
        raw.extend(definitions.map(|definitions| ("definitions".to_owned(), definitions)));
        raw.extend(Some(required).filter(|names| !names.is_null()).map(|names| ("required".to_owned(), names)));
    }
    Schema::new(name, raw)
}

fn property(required: Value) -> Schema {
    let mut definitions = definitions(true);
    if let Some(definitions) = definitions.as_object_mut() {
        definitions.shift_remove("property");
    }
    assemble("property", (property_properties(), Some(definitions), required))
}

/// `is_filled`: lists of texts must not be empty.
fn definitions(is_filled: bool) -> Value {
    let texts = match is_filled {
        true => json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true}),
        false => json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
    };
    json!({
        "positiveInteger": {"type": "integer", "minimum": 0},
        "positiveIntegerDefault0": {"allOf": [{"$ref": "#/definitions/positiveInteger"}, {"default": 0}]},
        "stringArray": texts,
        "property": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["title", "type"],
                "properties": property_properties(),
            },
        },
    })
}

fn property_properties() -> Value {
    let types = json!(["array", "boolean", "integer", "number", "object", "string", null]);
    json!({
        "name": {"type": "string", "maxLength": 80},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "operators": {"type": "array", "items": {"type": "string"}},
        "type": {"type": "string", "enum": types},
        "required": {"$ref": "#/definitions/stringArray"},
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "maxLength": {"$ref": "#/definitions/positiveInteger"},
        "minLength": {"$ref": "#/definitions/positiveIntegerDefault0"},
        "pattern": {"type": "string", "format": "regex"},
        "enum": {"type": "array"},
        "readonly": {"type": "boolean"},
        "default": {},
        "items": {
            "type": "object",
            "properties": {"type": {"type": "string", "enum": types}, "enum": {"type": "array"}},
        },
        "maxItems": {"$ref": "#/definitions/positiveInteger"},
        "minItems": {"$ref": "#/definitions/positiveIntegerDefault0"},
        "uniqueItems": {"type": "boolean", "default": false},
        "additionalItems": {"type": "boolean"},
    })
}

/// A time that only the service sets.
fn time(of: &str) -> Value {
    json!({"type": "string", "readOnly": true, "description": format!("Date and time of {of}"), "format": "date-time"})
}

/// A list of documents within another.
fn list_of(properties: Value) -> Value {
    json!({"type": "array", "items": {"type": "object", "properties": properties}})
}

fn namespace_properties() -> Value {
    let text = json!({"type": "string"});
    json!({
        "namespace": {"type": "string", "description": "The unique namespace text.", "maxLength": 80},
        "display_name": {
            "type": "string",
            "description": "The user friendly name for the namespace. Used by UI if available.",
            "maxLength": 80,
        },
        "description": {
            "type": "string",
            "description": "Provides a user friendly description of the namespace.",
            "maxLength": 500,
        },
        "visibility": {
            "type": "string",
            "description": "Scope of namespace accessibility.",
            "enum": ["public", "private"],
        },
        "protected": {"type": "boolean", "description": "If true, namespace will not be deletable."},
        "owner": {"type": "string", "description": "Owner of the namespace.", "maxLength": 255},
        "created_at": time("namespace creation"),
        "updated_at": time("the last namespace modification"),
        "schema": {"readOnly": true, "type": "string"},
        "self": {"readOnly": true, "type": "string"},
        "resource_type_associations": list_of(json!({"name": text, "prefix": text, "properties_target": text})),
        "properties": {"$ref": "#/definitions/property"},
        "objects": list_of(json!({
            "name": text,
            "description": text,
            "required": {"$ref": "#/definitions/stringArray"},
            "properties": {"$ref": "#/definitions/property"},
        })),
        "tags": list_of(json!({"name": text})),
    })
}

fn object_properties() -> Value {
    json!({
        "name": {"type": "string", "maxLength": 80},
        "description": {"type": "string"},
        "required": {"$ref": "#/definitions/stringArray"},
        "properties": {"$ref": "#/definitions/property"},
        "schema": {"readOnly": true, "type": "string"},
        "self": {"readOnly": true, "type": "string"},
        "created_at": time("object creation"),
        "updated_at": time("the last object modification"),
    })
}

fn association_properties() -> Value {
    json!({
        "name": {
            "type": "string",
            "description": "Resource type names should be aligned with Heat resource types whenever possible: \
                            https://docs.openstack.org/heat/latest/template_guide/openstack.html",
            "maxLength": 80,
        },
        "prefix": {
            "type": "string",
            "description": "Specifies the prefix to use for the given resource type. Any properties in the namespace should \
                            be prefixed with this prefix when being applied to the specified resource type. Must include \
                            prefix separator (e.g. a colon :).",
            "maxLength": 80,
        },
        "properties_target": {
            "type": "string",
            "description": "Some resource types allow more than one key / value pair per instance.  For example, Cinder \
                            allows user and image metadata on volumes. Only the image properties metadata is evaluated by \
                            Nova (scheduling or drivers). This property allows a namespace target to remove the ambiguity.",
            "maxLength": 80,
        },
        "created_at": time("resource type association"),
        "updated_at": time("the last resource type association modification"),
    })
}

fn tag_properties() -> Value {
    json!({
        "name": {"type": "string", "maxLength": 80},
        "created_at": time("tag creation"),
        "updated_at": time("the last tag modification"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_understands_them_all() {
        for schema in [&NAMESPACE, &OBJECT, &PROPERTY, &NAMELESS_PROPERTY, &ASSOCIATION, &TAG, &TAGS] {
            schema.check().unwrap();
        }
    }
}
