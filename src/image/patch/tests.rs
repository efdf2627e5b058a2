use serde_json::json;

use super::*;
use crate::config::Config;

fn read(media_type: MediaType, document: &Value) -> Result<Vec<Operation>, PatchError> {
    parse(media_type, document.clone(), &ImageSchema::new(&Config::default()))?.collect()
}

fn v21(document: &Value) -> Result<Vec<Operation>, PatchError> {
    read(MediaType::V21, document)
}

/// What is wrong with one operation, and whether it is forbidden rather than invalid.
fn refusal(media_type: MediaType, operation: &Value) -> (bool, String) {
    let error = read(media_type, &json!([operation])).unwrap_err();
    (matches!(error, PatchError::Forbidden(_)), error.to_string())
}

#[test]
fn reads_changes_in_both_dialects() {
    let operations = v21(&json!([
        {"op": "add", "path": "/os_distro", "value": "fedora"},
        {"op": "remove", "path": "/x~1y~0z"},
        {"op": "replace", "path": "/ name ", "value": null},
        {"op": "add", "path": "/locations/-", "value": {"url": "file:///a", "metadata": {}}},
        {"op": "remove", "path": "/locations/0", "value": "ignored"},
        {"op": "replace", "path": "/locations", "value": []},
        {"op": "add", "path": "//q", "value": " kept "},
        {"op": "add", "path": "/", "value": "empty name"},
    ]))
    .unwrap();
    let paths: Vec<_> = operations.iter().map(|operation| operation.path.join("|")).collect();
    assert_eq!(paths, ["os_distro", "x/y~z", "name", "locations|-", "locations|0", "locations", "q", ""]);
    assert_eq!(operations[4].value, None);
    assert_eq!(operations[4].position(), Some("0"));
    assert_eq!(operations[6].value, Some(json!(" kept ")));
    assert!(!operations[0].refuses_present());

    let operations =
        read(MediaType::V20, &json!([{"add": "/a", "value": "b"}, {"remove": "/c", "op": "test"}])).unwrap();
    assert_eq!((operations[0].op, operations[1].op), (OperationKind::Add, OperationKind::Remove));
    assert!(operations[0].refuses_present());
    assert_eq!(v21(&json!([])), Ok(Vec::new()));
}

/// Texts as a running upstream gave them.
#[test]
fn refuses_documents_in_upstreams_words() {
    let list = "Request body must be a JSON array of operation objects.";
    assert_eq!(v21(&json!({"op": "add"})).unwrap_err().to_string(), list);
    assert_eq!(v21(&json!(["add"])).unwrap_err().to_string(), "Operations must be JSON objects.");
    let one_of = "It must be one of the following: add, remove, replace.";
    let table = [
        (json!({"path": "/a", "value": 1}), format!("Unable to find `op` in JSON Schema change. {one_of}")),
        (json!({"op": null, "path": "/a"}), format!("Unable to find `op` in JSON Schema change. {one_of}")),
        (json!({"op": "test", "path": "/a"}), format!("Invalid operation: `test`. {one_of}")),
        (json!({"op": ["a"], "path": "/a"}), format!("Invalid operation: `['a']`. {one_of}")),
        (json!({"op": {"a": true}, "path": "/a"}), format!("Invalid operation: `{{'a': True}}`. {one_of}")),
        (json!({"op": "add", "value": 1}), "Unable to find 'path' in JSON Schema change".to_owned()),
        (json!({"op": "add", "path": "/a"}), "Operation \"add\" requires a member named \"value\".".to_owned()),
        (json!({"op": "add", "path": "", "value": "1"}), "Pointer `` does not start with \"/\".".to_owned()),
        (json!({"op": "add", "path": "a/", "value": "1"}), "Pointer `a/` does not start with \"/\".".to_owned()),
        (json!({"op": "add", "path": 3, "value": "1"}), "Pointer `3` does not start with \"/\".".to_owned()),
        (json!({"op": "add", "path": "//", "value": "1"}), "Pointer `//` end with \"/\".".to_owned()),
        (json!({"op": "add", "path": "/ /", "value": "1"}), "Pointer `/ /` end with \"/\".".to_owned()),
        (json!({"op": "add", "path": "// ", "value": "1"}), "Pointer `// ` does not contains valid token.".to_owned()),
        (json!({"op": "add", "path": "///a", "value": "1"}), "Pointer `///a` contains adjacent \"/\".".to_owned()),
        (json!({"op": "add", "path": "/a/ /b", "value": "1"}), "Pointer `/a/ /b` contains adjacent \"/\".".to_owned()),
        (
            json!({"op": "add", "path": "/é/~", "value": "1"}),
            "Pointer `/é/~` contains \"~\" not part of a recognized escape sequence.".to_owned(),
        ),
        (
            json!({"op": "add", "path": "/a~2", "value": "1"}),
            "Pointer `/a~2` contains \"~\" not part of a recognized escape sequence.".to_owned(),
        ),
        (
            json!({"op": "add", "path": "/a~1b/0", "value": "1"}),
            "Invalid JSON pointer for this resource: '/a/b/0'".to_owned(),
        ),
        (
            json!({"op": "add", "path": "/tags/-", "value": "1"}),
            "Invalid JSON pointer for this resource: '/tags/-'".to_owned(),
        ),
        (
            json!({"op": "add", "path": "/locations", "value": []}),
            "Invalid JSON pointer for this resource: '/locations'".to_owned(),
        ),
        (
            json!({"op": "replace", "path": "/locations/0", "value": {}}),
            "Invalid JSON pointer for this resource: '/locations/0'".to_owned(),
        ),
    ];
    for (operation, text) in table {
        assert_eq!(refusal(MediaType::V21, &operation), (false, text), "{operation}");
    }
    let members = "member named \"add\", \"remove\", or \"replace\".";
    for (operation, text) in [
        (json!({"op": "add", "path": "/a"}), format!("Operation objects must contain exactly one {members}")),
        (json!({"add": "/a", "remove": "/a"}), format!("Operation objects must contain only one {members}")),
        (json!({"replace": "/a"}), "Operation \"replace\" requires a member named \"value\".".to_owned()),
    ] {
        assert_eq!(refusal(MediaType::V20, &operation), (false, text), "{operation}");
    }
}

#[test]
fn guards_what_clients_can_not_set() {
    for name in [
        "id",
        "status",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "created_at",
        "updated_at",
        "direct_url",
        "self",
        "file",
        "schema",
    ] {
        let operation = json!({"op": "remove", "path": format!("/{name}")});
        assert_eq!(refusal(MediaType::V21, &operation), (true, format!("Attribute '{name}' is read-only.")));
    }
    for name in ["location", "deleted", "deleted_at", "os_glance_import_task", "os_glanceX"] {
        let operation = json!({"op": "add", "path": format!("/{name}"), "value": 5});
        assert_eq!(refusal(MediaType::V21, &operation), (true, format!("Attribute '{name}' is reserved.")));
    }
}

#[test]
fn holds_values_against_the_schema() {
    let start = "Provided object does not match schema 'image': ";
    for (path, value, text) in [
        ("/name", json!(5), "5 is not of type 'null', 'string'"),
        ("/mine", json!(5), "5 is not of type 'string'"),
        ("/locations/0", json!({"url": 3}), "'metadata' is a required property"),
        ("/tags", json!(["a", 1]), "1 is not of type 'string'"),
    ] {
        let (is_forbidden, said) = refusal(MediaType::V21, &json!({"op": "add", "path": path, "value": value}));
        assert!(!is_forbidden);
        assert_eq!(said.lines().next(), Some(format!("{start}{text}").as_str()));
    }
}
