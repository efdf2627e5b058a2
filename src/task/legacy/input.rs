//! What a client may ask of an import task (upstream: `unpack_task_input` in `glance/common/scripts/utils.py`, `create_image` in
//! `glance/common/scripts/image_import/main.py`).

use serde_json::{Map, Value};

use crate::image::schema::{ImageSchema, is_base};
use crate::schema::python::Excerpt;

/// Fields that the caller of upstream's factory of images cannot give.
const UNEXPECTED: [&str; 10] =
    ["id", "self", "file", "schema", "stores", "direct_url", "locations", "os_hash_algo", "os_hash_value", "checksum"];

/// A request that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub(super) url: String,
    /// Fields of the image.
    pub(super) base: Map<String, Value>,
    /// Custom properties of the image.
    pub(super) properties: Map<String, Value>,
    /// Nobody, if the request does not say.
    pub(super) owner: Option<String>,
    /// The store to write to; `None`: the default.
    pub(super) store: Option<String>,
}

/// The request makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum InputError {
    /// In upstream's words.
    #[error("Input does not contain '{0}' field")]
    Missing(&'static str),
    /// Upstream fails on it.
    #[error("image_properties: {0}")]
    Image(String),
}

impl Input {
    pub(super) fn read(input: &Value, schema: &ImageSchema) -> Result<Self, InputError> {
        let field = |name| input.get(name).ok_or(InputError::Missing(name));
        let url = field("import_from")?.as_str().unwrap_or_default().to_owned();
        field("import_from_format")?;
        let image = field("image_properties")?;
        schema.validate(image).map_err(|flaw| InputError::Image(flaw.to_string()))?;
        let fields = image.as_object().ok_or_else(|| InputError::Image("they are no object".to_owned()))?;
        if let Some(name) = fields.keys().find(|name| UNEXPECTED.contains(&name.as_str())) {
            return Err(InputError::Image(format!("{} cannot be given", Excerpt(name))));
        }
        let (base, properties) = fields.clone().into_iter().partition(|(name, _)| is_base(name));
        let text = |from: &Map<String, Value>, name: &str| from.get(name).and_then(Value::as_str).map(str::to_owned);
        let owner = text(&base, "owner");
        let store = input.as_object().and_then(|input| text(input, "backend")).filter(|store| !store.is_empty());
        Ok(Self { url, base, properties, owner, store })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn read(input: &Value) -> Result<Input, String> {
        Input::read(input, &ImageSchema::new(&Config::default())).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_told_in_upstreams_words() {
        for (input, expected) in [
            (json!({}), "Input does not contain 'import_from' field"),
            (json!({"import_from": "http://x"}), "Input does not contain 'import_from_format' field"),
            (
                json!({"import_from": "http://x", "import_from_format": ""}),
                "Input does not contain 'image_properties' field",
            ),
        ] {
            assert_eq!(read(&input).unwrap_err(), expected);
        }
        for properties in [
            json!([]),
            json!(null),
            json!({"id": "0a0a0a0a-0000-4000-8000-00000000000a"}),
            json!({"k": 1}),
            json!({"disk_format": "x"}),
        ] {
            let input = json!({"import_from": "http://x", "import_from_format": "", "image_properties": properties});
            let error = read(&input).unwrap_err();
            assert!(error.starts_with("image_properties: "), "{error}");
        }
    }

    #[test]
    fn fields_and_properties_are_told_apart() {
        let image = json!({"name": "n", "disk_format": "raw", "owner": "o", "color": "red"});
        let input =
            json!({"import_from": "http://x", "import_from_format": "", "image_properties": image, "backend": "b"});
        let read = read(&input).unwrap();
        let names = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&read.base), ["name", "disk_format", "owner"]);
        assert_eq!(names(&read.properties), ["color"]);
        assert_eq!((read.owner.as_deref(), read.store.as_deref()), (Some("o"), Some("b")));
    }
}
