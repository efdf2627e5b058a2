//! The documents that clients get (upstream: `glance/api/v2/model/metadef_*.py`). What is not there is left out, not null.

use serde::Serialize;
use serde_json::{Map, Value};
use time::PrimitiveDateTime;

use crate::api::v2::images::timestamp;
use crate::metadef::{Association, Contents, Namespace, Object, Property, ResourceType, Tag};

#[derive(Serialize)]
pub(super) struct NamespaceView<'a> {
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    visibility: &'a str,
    protected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type_associations: Option<Part<'a, Vec<AssociationView<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Part<'a, PropertyMap>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Part<'a, Vec<ObjectView<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Part<'a, Vec<TagName<'a>>>>,
    #[serde(rename = "self")]
    link: String,
    schema: &'static str,
}

/// Something within a namespace.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a, T> {
    /// As the client has just sent it.
    Given(&'a Value),
    Stored(T),
}

type PropertyMap = Map<String, Value>;

impl<'a> NamespaceView<'a> {
    pub(super) fn new(namespace: &'a Namespace) -> Self {
        let fields = namespace.fields();
        Self {
            namespace: &fields.namespace,
            display_name: fields.display_name.as_deref(),
            description: fields.description.as_deref(),
            visibility: namespace.visibility(),
            protected: namespace.is_protected(),
            owner: fields.owner.as_deref(),
            created_at: timestamp(namespace.created_at()),
            updated_at: namespace.updated_at().map(timestamp),
            resource_type_associations: None,
            properties: None,
            objects: None,
            tags: None,
            link: path(namespace.name()),
            schema: "/v2/schemas/metadefs/namespace",
        }
    }

    /// With the resource types that it is associated with.
    pub(super) fn with_associations(self, associations: &'a [Association]) -> Self {
        let resource_type_associations = stored(associations.iter().map(AssociationView::new).collect());
        Self { resource_type_associations, ..self }
    }

    /// With all that is in it. `prefix`: what comes before the names of properties.
    pub(super) fn with_contents(self, contents: &'a Contents, prefix: &str) -> Self {
        let namespace = self.namespace;
        let object = |object: &'a Object| ObjectView::new(namespace, object).prefixed(prefix);
        let properties: PropertyMap = contents
            .properties
            .iter()
            .map(|property| (format!("{prefix}{}", property.name), property.schema.clone().into()))
            .collect();
        Self {
            properties: Some(Part::Stored(properties)).filter(|_| !contents.properties.is_empty()),
            objects: stored(contents.objects.iter().map(object).collect()),
            tags: stored(contents.tags.iter().map(TagName::new).collect()),
            ..self.with_associations(&contents.associations)
        }
    }

    /// With all that a client's document says is in it.
    pub(super) fn with_document(self, document: &'a Map<String, Value>) -> Self {
        Self {
            resource_type_associations: document.get("resource_type_associations").map(Part::Given),
            properties: document.get("properties").map(Part::Given),
            objects: document.get("objects").map(Part::Given),
            tags: document.get("tags").map(Part::Given),
            ..self
        }
    }
}

/// A list, if there is something in it.
fn stored<'a, T>(items: Vec<T>) -> Option<Part<'a, Vec<T>>> {
    Some(Part::Stored(items)).filter(|part| !matches!(part, Part::Stored(items) if items.is_empty()))
}

/// The path of a namespace.
pub(super) fn path(namespace: &str) -> String {
    format!("/v2/metadefs/namespaces/{namespace}")
}

#[derive(Serialize)]
pub(super) struct ObjectView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<PropertyMap>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(rename = "self")]
    link: String,
    schema: &'static str,
}

impl<'a> ObjectView<'a> {
    pub(super) fn new(namespace: &str, object: &'a Object) -> Self {
        Self {
            name: &object.name,
            required: object.required.clone(),
            description: object.description.as_deref(),
            properties: object.properties.clone(),
            created_at: timestamp(object.created_at),
            updated_at: object.updated_at.map(timestamp),
            link: format!("{}/objects/{}", path(namespace), object.name),
            schema: "/v2/schemas/metadefs/object",
        }
    }

    fn prefixed(self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self;
        }
        let named = |name: String| format!("{prefix}{name}");
        Self {
            required: self.required.map(|names| names.into_iter().map(named).collect()),
            properties: self.properties.map(|all| all.into_iter().map(|(name, one)| (named(name), one)).collect()),
            ..self
        }
    }
}

/// A property with its name, which may differ from the one that its schema has.
pub(super) fn property(property: &Property) -> PropertyMap {
    let mut view = property.schema.clone();
    view.shift_remove("name");
    view.shift_insert(0, "name".to_owned(), property.name.as_str().into());
    view
}

#[derive(Serialize)]
pub(super) struct AssociationView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties_target: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl<'a> AssociationView<'a> {
    pub(super) fn new(association: &'a Association) -> Self {
        Self {
            name: &association.name,
            prefix: association.prefix.as_deref(),
            properties_target: association.properties_target.as_deref(),
            created_at: timestamp(association.created_at),
            updated_at: association.updated_at.map(timestamp),
        }
    }
}

/// A resource type or a tag: a name and times.
#[derive(Serialize)]
pub(super) struct NameView<'a> {
    name: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl<'a> NameView<'a> {
    fn of(name: &'a str, created_at: PrimitiveDateTime, updated_at: Option<PrimitiveDateTime>) -> Self {
        Self { name, created_at: timestamp(created_at), updated_at: updated_at.map(timestamp) }
    }

    pub(super) fn of_type(resource_type: &'a ResourceType) -> Self {
        Self::of(&resource_type.name, resource_type.created_at, resource_type.updated_at)
    }

    pub(super) fn of_tag(tag: &'a Tag) -> Self {
        Self::of(&tag.name, tag.created_at, tag.updated_at)
    }
}

/// A tag in a list.
#[derive(Serialize)]
pub(super) struct TagName<'a> {
    name: &'a str,
}

impl<'a> TagName<'a> {
    pub(super) fn new(tag: &'a Tag) -> Self {
        Self { name: &tag.name }
    }
}
