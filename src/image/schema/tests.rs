use serde_json::json;

use super::*;

fn reason(document: Value) -> String {
    ImageSchema::new(&Config::default()).validate(&document).unwrap_err().to_string()
}

/// Texts as a running upstream gave them.
#[test]
fn flaws_are_told_in_upstreams_words() {
    assert_eq!(
        reason(json!({"name": 5})),
        "Provided object does not match schema 'image': 5 is not of type 'null', 'string'\n\n\
         Failed validating 'type' in schema['properties']['name']:\n    \
         {'type': ['null', 'string'],\n     'description': 'Descriptive name for the image',\n     'maxLength': 255}\n\n\
         On instance['name']:\n    5"
    );
    assert_eq!(
        reason(json!({"foo": [1, {"a": "x".repeat(80), "b": null}]})),
        format!(
            "Provided object does not match schema 'image': [1, {{'a': '{0}', 'b': None}}] is not of type 'string'\n\n\
             Failed validating 'type' in schema['additionalProperties']:\n    {{'type': 'string'}}\n\n\
             On instance['foo']:\n    [1,\n     {{'a': '{0}',\n      'b': None}}]",
            "x".repeat(80)
        )
    );
    let location = reason(json!({"locations": [{"url": 3}]}));
    assert!(location.contains(
        "Failed validating 'required' in schema['properties']['locations']['items']:\n    {'type': 'object',\n     \
         'properties': {'url': {'type': 'string', 'maxLength': 255},\n                    'metadata': {'type': 'object'},\n"
    ));
    assert!(location.contains("'validation_data': {'description': 'Values to be used '\n"));
    assert!(location.ends_with("\n\nOn instance['locations'][0]:\n    {'url': 3}"));
}

#[test]
fn of_several_flaws_the_nearest_is_told() {
    let first = |document| reason(document).lines().next().unwrap().split_once(": ").unwrap().1.to_owned();
    assert_eq!(first(json!({"name": 1, "tags": [1]})), "1 is not of type 'null', 'string'");
    assert_eq!(first(json!({"name": 1, "owner": 2})), "2 is not of type 'null', 'string'", "the later in the alphabet");
    assert_eq!(first(json!({"disk_format": 5})), "5 is not of type 'null', 'string'", "type before enum");
    assert_eq!(first(json!({"zz": 1, "aa": 2})), "1 is not of type 'string'");
    assert_eq!(first(json!({"min_ram": 1.5})), "1.5 is not of type 'integer'");
    assert_eq!(first(json!({"min_ram": true})), "True is not of type 'integer'");
    assert_eq!(
        first(json!({"id": "x"})),
        format!(
            "'x' does not match '{}'",
            "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
        )
    );
    let extra = json!({"url": "u", "metadata": {}, "validation_data": {"os_hash_algo": "a", "os_hash_value": "b", "y": 1, "x": 1}});
    assert_eq!(
        first(json!({"locations": [extra]})),
        "Additional properties are not allowed ('x', 'y' were unexpected)"
    );
}

#[test]
fn what_fits_passes() {
    let document = json!({
        "id": "AAAAAAAA-0000-0000-0000-00000000000f", "name": "é".repeat(255), "owner": null, "min_ram": 1.0, "protected": false,
        "tags": ["", "x"], "disk_format": "qcow2", "container_format": null, "anything": "else",
        "locations": [{"url": "file:///x", "metadata": {"a": [1]}, "more": 1}],
    });
    let schema = ImageSchema::new(&Config::default());
    assert_eq!(schema.validate(&document), Ok(()));
}

#[test]
fn every_column_is_described_and_said_to_be_the_services_where_it_is() {
    let schema = ImageSchema::new(&Config::default());
    for column in Image::COLUMNS {
        let described = schema.raw()["properties"].get(column.name()).unwrap();
        assert_eq!(Image::column_named(column.name()), Some(*column));
        // Who makes an image may give its id.
        let is_of_service = Image::setter(*column).is_none() && *column != Column::Id;
        assert_eq!(described.get("readOnly").is_some(), is_of_service, "{}", column.name());
    }
}

#[test]
fn an_operators_properties_join_the_schema() {
    let text = r#"{"properties": {"arch": {"type": "string", "pattern": "^x86"},
                   "level": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["low"]}]}}, "required": ["arch"]}"#;
    let schema = ImageSchema::with_custom(&Config::default(), text).unwrap();
    let reason = |document: Value| schema.validate(&document).unwrap_err().reason;
    assert!(
        reason(json!({})).starts_with("'arch' is a required property\n\nFailed validating 'required' in schema:\n")
    );
    assert_eq!(
        reason(json!({"arch": "arm"})),
        "'arm' does not match '^x86'\n\nFailed validating 'pattern' in schema['properties']['arch']:\n    \
         {'type': 'string', 'pattern': '^x86', 'is_base': False}\n\nOn instance['arch']:\n    'arm'"
    );
    assert!(schema.validate(&json!({"arch": "x86", "level": 1})).is_ok());
    assert!(schema.validate(&json!({"arch": "x86", "level": "low"})).is_ok());
    assert!(reason(json!({"arch": "x86", "level": 0})).contains("0"));

    let flat = ImageSchema::with_custom(&Config::default(), r#"{"arch": {"type": "string"}}"#).unwrap();
    assert_eq!(flat.raw()["properties"]["arch"], json!({"type": "string", "is_base": false}));
    for (text, said) in [
        ("{", "schema-image.json is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "schema-image.json: the properties are no object"),
        (r#"{"name": {}, "id": {}}"#, "custom properties (name, id) conflict with base properties"),
        (r#"{"a": {"pattern": "("}}"#, "schema-image.json: pattern ( can not be used"),
        (r#"{"a": {"type": "text"}}"#, "schema-image.json: keyword type can not have the value \"text\""),
        (r#"{"a": {"not": {}}}"#, "schema-image.json: keyword not can not have the value {}"),
    ] {
        assert_eq!(ImageSchema::with_custom(&Config::default(), text).unwrap_err().to_string(), said);
    }
}

#[test]
fn of_choices_the_flaw_least_like_the_others_is_told() {
    let text = r#"{"a": {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]},
                   "b": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
                   "c": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}"#;
    let schema = ImageSchema::with_custom(&Config::default(), text).unwrap();
    let reason = |document: Value| {
        let reason = schema.validate(&document).unwrap_err().reason;
        reason.split_once("\n\n").unwrap().0.to_owned()
    };
    assert_eq!(reason(json!({"a": 1})), "1 is less than the minimum of 5");
    assert_eq!(reason(json!({"a": null})), "None is not valid under any of the given schemas", "two alike");
    assert_eq!(reason(json!({"b": 1})), "1 is valid under each of {'type': 'number'}, {'type': 'integer'}");
    assert_eq!(reason(json!({"c": []})), "[] is not valid under any of the given schemas");
    assert_eq!(reason(json!({"a": 1, "name": 2})), "2 is not of type 'null', 'string'");
}

/// The words are upstream's as far as they go.
#[test]
fn a_reason_is_short_however_large_the_value() {
    for document in [
        json!({"name": {"k".repeat(20_000): vec![0; 20_000]}}),
        json!({"name": "n".repeat(7_000_000)}),
        json!({"x".repeat(1_000_000): 5}),
        json!({"tags": vec!["a\n".repeat(1000); 1000], "name": vec![0; 100_000]}),
        Value::Object((0..100_000).map(|number| (format!("p{number}"), json!(number))).collect()),
    ] {
        let text = reason(document);
        assert!(text.len() < 16_000, "{} bytes: {}", text.len(), &text[..200]);
    }
    let named = reason(json!({"name": "n".repeat(7_000_000)}));
    assert!(
        named.starts_with(&format!(
            "Provided object does not match schema 'image': '{}... is too long",
            "n".repeat(4095)
        ))
    );
    assert!(named.ends_with(&format!("On instance['name']:\n    '{}...", "n".repeat(4095))));
    let short = reason(json!({"name": "n".repeat(4000)}));
    assert!(short.contains(&format!("'{0}' is too long\n", "n".repeat(4000))) && short.ends_with("nnn'"));
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), b"{\n\"\xfc\": {}}\n").unwrap();
    let config = Config { search: vec![folder.path().to_owned()], ..Config::default() };
    let error = ImageSchema::load(&config).unwrap_err().to_string();
    assert!(error.ends_with("can not be read: line 2: is not UTF-8 text"), "{error}");
}
