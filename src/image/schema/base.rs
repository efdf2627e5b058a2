//! The schema of the fields that every image has (upstream: `get_base_properties` in `glance/api/v2/images.py`). Key order and
//! descriptions count: error texts quote them.

use serde_json::{Map, Value, json};

const ID_PATTERN: &str = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

/// The fields in upstream's order, which is not that of an image's document.
pub(super) fn properties(disk_formats: &[String], container_formats: &[String]) -> Map<String, Value> {
    let fields = [
        ("id", json!({"type": "string", "description": "An identifier for the image", "pattern": ID_PATTERN})),
        ("name", text("Descriptive name for the image", 255)),
        ("status", status()),
        (
            "visibility",
            json!({
                "type": "string",
                "description": "Scope of image accessibility",
                "enum": ["community", "public", "private", "shared"],
            }),
        ),
        ("protected", json!({"type": "boolean", "description": "If true, image will not be deletable."})),
        (
            "os_hidden",
            json!({"type": "boolean", "description": "If true, image will not appear in default image list response."}),
        ),
        ("checksum", computed("md5 hash of image contents.", 32)),
        ("os_hash_algo", computed("Algorithm to calculate the os_hash_value", 64)),
        (
            "os_hash_value",
            computed("Hexdigest of the image contents using the algorithm specified by the os_hash_algo", 128),
        ),
        ("owner", text("Owner of the image", 255)),
        ("size", measured("Size of image file in bytes")),
        ("virtual_size", measured("Virtual size of image in bytes")),
        ("container_format", choice("Format of the container", container_formats)),
        ("disk_format", choice("Format of the disk", disk_formats)),
        ("created_at", shown("Date and time of image registration")),
        ("updated_at", shown("Date and time of the last image modification")),
        (
            "tags",
            json!({
                "type": "array",
                "description": "List of strings related to the image",
                "items": {"type": "string", "maxLength": 255},
            }),
        ),
        ("direct_url", shown("URL to access the image file kept in external store")),
        ("min_ram", json!({"type": "integer", "description": "Amount of ram (in MB) required to boot image."})),
        ("min_disk", json!({"type": "integer", "description": "Amount of disk space (in GB) required to boot image."})),
        ("self", shown("An image self url")),
        ("file", shown("An image file url")),
        (
            "stores",
            shown(
                "Store in which image data resides.  Only present when the operator has enabled multiple stores.  May be a \
                 comma-separated list of store identifiers.",
            ),
        ),
        ("schema", shown("An image schema url")),
        ("locations", locations()),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// The links of an image's document.
pub(super) fn links() -> Value {
    json!([
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ])
}

fn text(description: &str, longest: u32) -> Value {
    json!({"type": ["null", "string"], "description": description, "maxLength": longest})
}

fn computed(description: &str, longest: u32) -> Value {
    json!({"type": ["null", "string"], "readOnly": true, "description": description, "maxLength": longest})
}

fn measured(description: &str) -> Value {
    json!({"type": ["null", "integer"], "readOnly": true, "description": description})
}

fn shown(description: &str) -> Value {
    json!({"type": "string", "readOnly": true, "description": description})
}

fn choice(description: &str, names: &[String]) -> Value {
    let mut choices = vec![Value::Null];
    choices.extend(names.iter().map(|name| json!(name)));
    json!({"type": ["null", "string"], "description": description, "enum": choices})
}

fn status() -> Value {
    json!({
        "type": "string",
        "readOnly": true,
        "description": "Status of the image",
        "enum": [
            "queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated",
        ],
    })
}

fn locations() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "url": {"type": "string", "maxLength": 255},
                "metadata": {"type": "object"},
                "validation_data": {
                    "description": "Values to be used to populate the corresponding image properties. If the image status is \
                                    not 'queued', values must exactly match those already contained in the image properties.",
                    "type": "object",
                    "writeOnly": true,
                    "additionalProperties": false,
                    "properties": {
                        "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                        "os_hash_algo": {"type": "string", "maxLength": 64},
                        "os_hash_value": {"type": "string", "maxLength": 128},
                    },
                    "required": ["os_hash_algo", "os_hash_value"],
                },
            },
            "required": ["url", "metadata"],
        },
        "description": "A set of URLs to access the image file kept in external store",
    })
}
