//! Types and equality of JSON values, as JSON Schema defines them.

use serde_json::Value;

/// Whether a value has the type, or one of the types, that a schema names.
pub(super) fn is_any_type(instance: &Value, types: &Value) -> bool {
    match types {
        Value::Array(types) => types.iter().any(|name| is_any_type(instance, name)),
        Value::String(name) => is_type(instance, name),
        _ => false,
    }
}

fn is_type(instance: &Value, name: &str) -> bool {
    match instance {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => {
            let is_whole = || number.as_f64().is_some_and(|float| float.fract() == 0.0);
            name == "number" || (name == "integer" && (!number.is_f64() || is_whole()))
        }
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

/// As JSON has it: 1 and 1.0 are the same.
pub(super) fn is_equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::String(one), Value::String(two)) => one == two,
        _ => canonical(one) == canonical(two),
    }
}

/// A text that equal values have in common.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float}"),
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(key, value)| format!("{key:?}:{}", canonical(value))).collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}
