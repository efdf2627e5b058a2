//! What a request to add a location may look like (upstream: `get_location_schema` in `glance/api/v2/images.py`). Key order and
//! descriptions count: error texts quote them.

use serde_json::{Value, json};

use crate::schema::{Mismatch, Schema};

/// Checks the body of a request, which upstream takes for a member called `add_location`.
///
/// # Errors
/// The flaw that upstream would name, in its words.
pub fn check_addition(body: &Value) -> Result<(), Mismatch> {
    Schema::new("location", schema()).validate(&json!({"add_location": body}))
}

fn schema() -> Value {
    let validation_data = json!({
        "description": "Values to be used to populate the corresponding image properties.do_secure_hash is not True then image \
                        checksum and hash will not be calculated so it is the responsibility of the consumer of location ADD \
                        API to provide the correct values in the validation_data parameter",
        "type": "object",
        "writeOnly": true,
        "additionalProperties": false,
        "properties": {
            "os_hash_algo": {"type": "string", "maxLength": 64, "enum": ["sha1", "sha256", "sha512", "md5"]},
            "os_hash_value": {"type": "string", "maxLength": 128},
        },
        "dependentRequired": {"os_hash_value": ["os_hash_algo"], "os_hash_algo": ["os_hash_value"]},
    });
    let url = json!({
        "type": "string",
        "readOnly": true,
        "description": "The URL of the new location to be added in the image.",
    });
    json!({
        "name": "location",
        "properties": {
            "add_location": {
                "type": "object",
                "description": "Values of location url, do_secure_hash and validation_data for new add location API",
                "properties": {"url": url, "validation_data": validation_data},
                "required": ["url"],
            },
        },
        "additionalProperties": {"type": "string"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_of_algorithm_and_value_are_taken() {
        let pair = |algorithm: &str, value: &str| json!({"os_hash_algo": algorithm, "os_hash_value": value});
        for (body, wanted) in [
            (json!({"url": "x"}), None),
            (json!({"url": "", "more": [1]}), None),
            (json!({"url": "x", "validation_data": {}}), None),
            (json!({"url": "x", "validation_data": pair("md5", "")}), None),
            (json!({}), Some("'url' is a required property")),
            (json!([]), Some("[] is not of type 'object'")),
            (json!({"url": null}), Some("None is not of type 'string'")),
            (json!({"url": "x", "validation_data": null}), Some("None is not of type 'object'")),
            (json!({"url": "x", "validation_data": pair("sha3", "")}), Some("'sha3' is not one of ['sha1',")),
            (
                json!({"url": "x", "validation_data": {"os_hash_algo": "md5"}}),
                Some("'os_hash_value' is a dependency of 'os_hash_algo'"),
            ),
            (
                json!({"url": "x", "validation_data": {"os_hash_value": ""}}),
                Some("'os_hash_algo' is a dependency of 'os_hash_value'"),
            ),
            (
                json!({"url": "x", "validation_data": {"checksum": "a"}}),
                Some("Additional properties are not allowed ('checksum' was unexpected)"),
            ),
        ] {
            let told = check_addition(&body).err().map(|flaw| flaw.reason);
            assert_eq!(told.is_some(), wanted.is_some(), "{body}: {told:?}");
            let (told, wanted) = (told.unwrap_or_default(), wanted.unwrap_or_default());
            assert!(told.starts_with(wanted), "{body}: {told}");
        }
    }
}
