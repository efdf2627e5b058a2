//! Text that every database can hold, and that upstream can write.

use serde_json::{Map, Value};

use super::error::Error;
use crate::schema::python::{excerpts, title};

/// Refuses characters outside the basic plane, which MySQL's three-byte UTF-8 cannot store. Lists, and names of documents, are not
/// looked at (upstream: `glance/common/utils.py`, `no_4byte_params`).
///
/// # Errors
/// Upstream's words for the first field that has one.
pub(super) fn check_plane(fields: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in fields {
        match value {
            Value::Object(members) => check_plane(members)?,
            _ if has_high(name) => return Err("Property names can't contain 4 byte unicode.".to_owned()),
            Value::String(text) if has_high(text) => {
                return Err(format!("{} can't contain 4 byte unicode characters.", title(&excerpts([name]))));
            }
            _ => {}
        }
    }
    Ok(())
}

fn has_high(text: &str) -> bool {
    text.chars().any(|c| c > '\u{ffff}')
}

/// Refuses the default value of a property if it is not ASCII: upstream cannot show it.
///
/// # Errors
/// [`Error::NotAscii`]
pub(super) fn check_default(property: &Map<String, Value>) -> Result<(), Error> {
    match property.get("default") {
        Some(Value::String(text)) if !text.is_ascii() => Err(Error::NotAscii),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As a running upstream answered.
    #[test]
    fn fields_outside_the_basic_plane_are_named() {
        for (fields, expected) in [
            (json!({"display_name": "😀"}), Err("Display_Name can't contain 4 byte unicode characters.")),
            (json!({"a": {"b": {"title": "😀"}}}), Err("Title can't contain 4 byte unicode characters.")),
            (json!({"😀": 1}), Err("Property names can't contain 4 byte unicode.")),
            (json!({"😀": {"title": "x"}, "enum": ["😀"]}), Ok(())),
        ] {
            let found = check_plane(fields.as_object().unwrap());
            assert_eq!(found, expected.map_err(str::to_owned), "{fields}");
        }
    }

    #[test]
    fn defaults_are_ascii() {
        for (property, is_fine) in [(json!({"default": "ä"}), false), (json!({"default": "a", "title": "ä"}), true)] {
            assert_eq!(check_default(property.as_object().unwrap()).is_ok(), is_fine);
        }
    }
}
