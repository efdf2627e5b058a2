//! Types and equality of JSON values, as JSON Schema defines them.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Number, Value};

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
        (Value::Number(one), Value::Number(two)) => one == two || (one.as_f64() == two.as_f64() && is_mixed(one, two)),
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_equal(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let is_same = |(key, one): (&String, &Value)| two.get(key).is_some_and(|two| is_equal(one, two));
            one.len() == two.len() && one.iter().all(is_same)
        }
        _ => one == two,
    }
}

/// Whether one is an integer and the other is not: two integers are compared by all their digits.
fn is_mixed(one: &Number, two: &Number) -> bool {
    one.is_f64() != two.is_f64()
}

/// A value by what [`is_equal`] says.
pub(super) struct Same<'a>(pub(super) &'a Value);

impl PartialEq for Same<'_> {
    fn eq(&self, other: &Self) -> bool {
        is_equal(self.0, other.0)
    }
}

impl Eq for Same<'_> {}

impl Hash for Same<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Value::Null => 0.hash(state),
            Value::Bool(flag) => flag.hash(state),
            // Zero has two signs and one value.
            Value::Number(number) => (number.as_f64().unwrap_or_default() + 0.0).to_bits().hash(state),
            Value::String(text) => text.hash(state),
            Value::Array(items) => items.iter().for_each(|item| Same(item).hash(state)),
            // Members have no order, so what is hashed of each must not depend on its place.
            Value::Object(members) => {
                let each = members.iter().map(|(key, value)| {
                    let mut hasher = DefaultHasher::new();
                    (key, Same(value)).hash(&mut hasher);
                    hasher.finish()
                });
                each.fold(0, u64::wrapping_add).hash(state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_equal_as_in_json() {
        let big = json!(9_007_199_254_740_993_u64);
        for (one, two, wanted) in [
            (json!(1), json!(1.0), true),
            (json!(-0.0), json!(0), true),
            (json!(1), json!(true), false),
            (json!("1"), json!(1), false),
            (json!([1, {"a": 1, "b": [2.0]}]), json!([1.0, {"b": [2], "a": 1}]), true),
            (json!({"a": 1}), json!({"a": 1, "b": 1}), false),
            (json!([1, 2]), json!([2, 1]), false),
            (big, json!(9_007_199_254_740_992_u64), false),
            (json!(null), json!(null), true),
        ] {
            assert_eq!(is_equal(&one, &two), wanted, "{one} {two}");
            assert_eq!(HashSet::from([Same(&one), Same(&two)]).len() == 1, wanted, "{one} {two}");
        }
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        for (value, wanted) in [(json!(1), true), (json!(1.0), true), (json!(1.5), false), (json!(true), false)] {
            assert_eq!(is_any_type(&value, &json!(["integer"])), wanted, "{value}");
        }
    }
}
