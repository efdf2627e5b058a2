//! Documents brought into the form in which upstream stores and shows them (upstream: `wsme/rest/json.py` and `wsme/types.py`): fields
//! in a fixed order, numbers and flags of their type.
//!
//! Upstream answers 500 to what passes the JSON schema and does not fit here; we answer 400 in the words that its library has
//! for it.

use serde_json::{Map, Number, Value};

use super::models::{Field, Form, Model};
use crate::schema::python::{display, excerpts, or_none};

/// A document that does not fit its model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

impl Malformed {
    fn of(field: &str, value: Option<&Value>, why: &str) -> Self {
        let value = value.map(display);
        Self(format!(
            "Invalid input for field/attribute {field}. Value: '{}'. {why}",
            excerpts([or_none(value.as_deref())])
        ))
    }

    /// For fields that nothing knows, in the document that the field `place` holds.
    pub(super) fn unknown(names: &[&str], place: &str) -> Self {
        let plural = if names.len() > 1 { "s" } else { "" };
        Self(format!("Unknown attribute{plural} for argument {place}: {}", excerpts(join(names))))
    }
}

/// Reads a document of a client.
///
/// # Errors
/// The first field that does not fit.
pub(super) fn read(model: &Model, document: Value) -> Result<Map<String, Value>, Malformed> {
    read_at(model, document, None)
}

/// `place`: the name of the field that holds the document.
fn read_at(model: &Model, document: Value, place: Option<&str>) -> Result<Map<String, Value>, Malformed> {
    let Value::Object(mut given) = document else {
        return Err(Malformed::of(or_none(place), Some(&document), "Value not a valid dict."));
    };
    let mut fields = Map::new();
    for field in model.fields {
        match given.swap_remove(field.name) {
            Some(value) => drop(fields.insert(field.name.to_owned(), convert(field, value)?)),
            None if field.is_mandatory => {
                return Err(Malformed::of(field.name, None, "Mandatory field missing."));
            }
            None => {}
        }
    }
    if given.is_empty() {
        return Ok(fields);
    }
    let mut unknown: Vec<&str> = given.keys().map(String::as_str).collect();
    unknown.sort_unstable();
    Err(Malformed::unknown(&unknown, or_none(place)))
}

fn join<'a>(names: &[&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().enumerate().flat_map(|(index, name)| [if index > 0 { ", " } else { "" }, name])
}

fn convert(field: &Field, value: Value) -> Result<Value, Malformed> {
    if value.is_null() {
        return Ok(value);
    }
    match &field.form {
        Form::One(model) => Ok(Value::Object(read_at(model, value, Some(field.name))?)),
        Form::Many(model) => {
            let Value::Array(items) = value else { return Err(not_a(field, &value, "list")) };
            let read = |item| Ok(Value::Object(read_at(model, item, Some(field.name))?));
            Ok(Value::Array(items.into_iter().map(read).collect::<Result<_, Malformed>>()?))
        }
        Form::Named(model) => {
            let Value::Object(members) = value else { return Err(not_a(field, &value, "dict")) };
            let read = |(name, member)| Ok((name, Value::Object(read_at(model, member, Some(field.name))?)));
            Ok(Value::Object(members.into_iter().map(read).collect::<Result<_, Malformed>>()?))
        }
        _ => simple(&field.form, &value).map_err(|why| Malformed::of(field.name, Some(&value), &why)),
    }
}

fn not_a(field: &Field, value: &Value, what: &str) -> Malformed {
    Malformed::of(field.name, Some(value), &format!("Value not a valid {what}."))
}

/// A value of a field that holds no document; why it does not fit.
fn simple(form: &Form, value: &Value) -> Result<Value, String> {
    match (form, value) {
        (Form::Text, Value::String(_)) => Ok(value.clone()),
        (Form::Texts, Value::Array(items)) => match items.iter().find(|item| !item.is_string() && !item.is_null()) {
            Some(other) => Err(wrong_type("str", other)),
            None => Ok(value.clone()),
        },
        (Form::Bytes, Value::String(_)) => Ok(value.clone()),
        (Form::Bytes, Value::Number(_) | Value::Bool(_)) => Ok(Value::String(display(value).into_owned())),
        (Form::Bytes, _) => Ok(Value::Null),
        (Form::Integer, Value::Number(number)) => Ok(Value::Number(whole(number))),
        (Form::Flag, Value::Bool(_)) => Ok(value.clone()),
        (Form::Flag, Value::Number(number)) if !number.is_f64() => Ok(Value::Bool(number.as_i64() != Some(0))),
        (Form::Flag, Value::String(word)) => match word.as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(Value::Bool(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(Value::Bool(false)),
            _ => Err("Value not an unambiguous boolean.".to_owned()),
        },
        (Form::Text, _) => Err(wrong_type("str", value)),
        (Form::Integer, _) => Err(wrong_type("int", value)),
        (Form::Flag, _) => Err(wrong_type("bool", value)),
        _ => Err("Value not a valid list.".to_owned()),
    }
}

fn wrong_type(wanted: &str, value: &Value) -> String {
    let found = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    format!("Wrong type. Expected '<class '{wanted}'>', got '<class '{found}'>'")
}

/// `int(number)`; what is beyond 64 bits stays as it is.
fn whole(number: &Number) -> Number {
    match number.as_f64() {
        // The conversion cuts the fraction off.
        Some(float) if number.is_f64() && float.abs() < 9e18 => Number::from(float as i64),
        _ => number.clone(),
    }
}

/// What is stored, for clients: the fields of the model, as far as they can be brought into its form. Others are left out.
pub(super) fn show(model: &Model, stored: Value) -> Map<String, Value> {
    let Value::Object(mut stored) = stored else { return Map::new() };
    let mut fields = Map::new();
    for field in model.fields {
        let Some(value) = stored.swap_remove(field.name) else { continue };
        let shown = match &field.form {
            Form::One(model) if value.is_object() => Value::Object(show(model, value)),
            form => simple(form, &value).ok().filter(|_| !value.is_null()).unwrap_or(value),
        };
        fields.insert(field.name.to_owned(), shown);
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::models::{NAMESPACE, PROPERTY, TAGS};
    use super::*;

    fn property(document: Value) -> Result<String, String> {
        read(&PROPERTY, document).map(|fields| Value::from(fields).to_string()).map_err(|error| error.to_string())
    }

    /// As a running upstream stored and showed them.
    #[test]
    fn fields_come_in_order_and_of_their_type() {
        for (more, expected) in [
            (json!({"default": 5, "minimum": 1.7}), r#""default":"5","minimum":1"#),
            (json!({"default": true, "confidential": "yes"}), r#""default":"True","confidential":true"#),
            (json!({"default": [1]}), r#""default":null"#),
            (json!({"default": null, "readonly": 1}), r#""default":null,"readonly":true"#),
            (json!({"maximum": 1e300, "minLength": 5.0}), r#""maximum":1e+300,"minLength":5"#),
            (json!({"enum": [null, "x"], "operators": ["<in>"]}), r#""operators":["<in>"],"enum":[null,"x"]"#),
            (json!({"items": {"enum": ["q"], "type": "string"}}), r#""items":{"type":"string","enum":["q"]}"#),
        ] {
            let mut document = json!({"title": "T", "type": "string"});
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(property(document).unwrap(), format!(r#"{{"type":"string","title":"T",{expected}}}"#));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (more, expected) in [
            (
                json!({"enum": [1, "x"]}),
                "Invalid input for field/attribute enum. Value: '[1, 'x']'. Wrong type. Expected '<class 'str'>', got \
                 '<class 'int'>'",
            ),
            (
                json!({"confidential": "maybe"}),
                "Invalid input for field/attribute confidential. Value: 'maybe'. Value not an unambiguous boolean.",
            ),
            (json!({"items": {}}), "Invalid input for field/attribute type. Value: 'None'. Mandatory field missing."),
            (json!({"b": 1, "a": 2}), "Unknown attributes for argument None: a, b"),
            (json!({"items": {"type": "x", "y": 1}}), "Unknown attribute for argument items: y"),
        ] {
            let mut document = json!({"title": "T", "type": "string"});
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(property(document).unwrap_err(), expected);
        }
        let tags = read(&TAGS, json!({"tags": [{"name": "a"}, {"nome": "b"}]})).unwrap_err();
        assert_eq!(tags.to_string(), "Invalid input for field/attribute name. Value: 'None'. Mandatory field missing.");
        let nested = read(&NAMESPACE, json!({"namespace": "n", "objects": [{"name": "o", "x": 1}]})).unwrap_err();
        assert_eq!(nested.to_string(), "Unknown attribute for argument objects: x");
        assert!(read(&NAMESPACE, json!([])).is_err());
    }

    #[test]
    fn what_is_stored_is_shown_whatever_it_is() {
        let stored = json!({"x": 1, "title": 5, "enum": [1], "default": false, "items": {"z": 1, "type": "string"}});
        let shown = Value::from(show(&PROPERTY, stored)).to_string();
        assert_eq!(shown, r#"{"title":5,"default":"False","enum":[1],"items":{"type":"string"}}"#);
        assert_eq!(show(&PROPERTY, json!(null)), Map::new());
    }
}
