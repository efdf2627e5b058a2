//! What clients send: checked against its schema, then brought into its form.

use serde_json::{Map, Value};

use super::form::{self, Malformed};
use super::models::{ASSOCIATION, Model, NAMESPACE, OBJECT, PROPERTY, TAG, TAGS};
use super::schemas;
use crate::schema::{Mismatch, Schema};

/// A kind of document that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    NewNamespace,
    /// What is in the namespace stays as it is, so a client may send it back as it was shown.
    ChangedNamespace,
    NewObject,
    ChangedObject,
    Property,
    Association,
    Tag,
    /// Several at once.
    Tags,
}

/// A document that is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadDocument {
    #[error("Request body must be a JSON object.")]
    NoObject,
    /// It has a field that only the service sets.
    #[error("Attribute '{0}' is read-only.")]
    ReadOnly(&'static str),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Document {
    fn schema(self) -> &'static Schema {
        match self {
            Self::NewNamespace | Self::ChangedNamespace => &schemas::NAMESPACE,
            Self::NewObject | Self::ChangedObject => &schemas::OBJECT,
            Self::Property => &schemas::PROPERTY,
            Self::Association => &schemas::ASSOCIATION,
            Self::Tag => &schemas::TAG,
            Self::Tags => &schemas::TAGS,
        }
    }

    fn model(self) -> &'static Model {
        match self {
            Self::NewNamespace | Self::ChangedNamespace => &NAMESPACE,
            Self::NewObject | Self::ChangedObject => &OBJECT,
            Self::Property => &PROPERTY,
            Self::Association => &ASSOCIATION,
            Self::Tag => &TAG,
            Self::Tags => &TAGS,
        }
    }

    fn read_only(self) -> &'static [&'static str] {
        match self {
            Self::NewNamespace | Self::ChangedNamespace | Self::NewObject | Self::ChangedObject => {
                &["self", "schema", "created_at", "updated_at"]
            }
            Self::Property | Self::Association | Self::Tag | Self::Tags => &["created_at", "updated_at"],
        }
    }

    /// Checks a document and brings it into its form.
    ///
    /// # Errors
    /// The first fault, in the order in which upstream looks for them.
    pub(crate) fn read(self, value: Value) -> Result<Map<String, Value>, BadDocument> {
        let Value::Object(members) = &value else { return Err(BadDocument::NoObject) };
        if let Some(field) = self.read_only().iter().find(|field| members.contains_key(**field)) {
            return Err(BadDocument::ReadOnly(field));
        }
        self.schema().validate(&value)?;
        if self == Self::NewObject {
            let properties = members.get("properties").and_then(Value::as_object);
            for property in properties.into_iter().flat_map(Map::values) {
                schemas::NAMELESS_PROPERTY.validate(property)?;
            }
        }
        let document = form::read(self.model(), value)?;
        if self == Self::NewNamespace {
            check_objects(&document)?;
        }
        Ok(document)
    }
}

/// An object within a new namespace's document has no link to itself: only the service knows it.
fn check_objects(namespace: &Map<String, Value>) -> Result<(), Malformed> {
    let objects = namespace.get("objects").and_then(Value::as_array);
    match objects.into_iter().flatten().any(|object| object.get("self").is_some()) {
        true => Err(Malformed::unknown(&["self"], "objects")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(kind: Document, value: Value) -> String {
        let text = kind.read(value).unwrap_err().to_string();
        text.split("\n\n").next().unwrap().to_owned()
    }

    #[test]
    fn faults_are_told_in_upstreams_order() {
        let property = |more: Value| {
            let mut property = json!({"title": "t", "type": "string"});
            property.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"name": "o", "properties": {"p": property}})
        };
        for (kind, value, expected) in [
            (Document::NewNamespace, json!([]), "Request body must be a JSON object."),
            (Document::NewNamespace, json!({"self": 1, "x": 2}), "Attribute 'self' is read-only."),
            (Document::Tag, json!({"created_at": "x"}), "Attribute 'created_at' is read-only."),
            (
                Document::Tags,
                json!({"tags": [{"name": "a", "x": 1}]}),
                "Provided object does not match schema 'tags': Additional properties are not allowed ('x' was unexpected)",
            ),
            (
                Document::Property,
                json!({"title": "t", "type": "string"}),
                "Provided object does not match schema 'property': 'name' is a required property",
            ),
            (
                Document::NewObject,
                property(json!({"x": 1})),
                "Provided object does not match schema 'property': Additional properties are not allowed ('x' was \
                 unexpected)",
            ),
            (Document::ChangedObject, property(json!({"x": 1})), "Unknown attribute for argument properties: x"),
            (
                Document::NewNamespace,
                json!({"namespace": "n", "objects": [{"name": "o", "self": "x"}]}),
                "Unknown attribute for argument objects: self",
            ),
        ] {
            assert_eq!(refused(kind, value), expected, "{kind:?}");
        }
        assert!(Document::NewObject.read(property(json!({"maxLength": 1}))).is_ok());
        let as_shown = json!({"namespace": "n", "objects": [{"name": "o", "self": "x", "schema": "y"}]});
        assert!(Document::ChangedNamespace.read(as_shown).is_ok());
    }
}
