//! What happens to metadata definitions.

/// Something that has happened to a namespace or to what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadefEvent<'a> {
    /// The namespace's name, after a change of it the new one.
    pub namespace: &'a str,
    pub part: MetadefPart<'a>,
    pub change: MetadefChange<'a>,
}

/// What of a namespace an event is about, with its name; after a change of the name, the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadefPart<'a> {
    /// The namespace itself.
    Namespace,
    Object(&'a str),
    Property(&'a str),
    /// The association with a resource type.
    ResourceType(&'a str),
    Tag(&'a str),
}

/// What has happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadefChange<'a> {
    Created,
    Updated {
        old_name: &'a str,
    },
    Deleted,
    /// The namespace has no objects any more.
    ObjectsCleared,
    PropertiesCleared,
    TagsCleared,
}

impl MetadefEvent<'_> {
    /// Upstream's name for it. No request updates the association with a resource type, and only namespaces are cleared.
    pub fn name(&self) -> &'static str {
        use MetadefChange::{Created, Deleted, ObjectsCleared, PropertiesCleared, TagsCleared, Updated};
        match (self.part, self.change) {
            (_, ObjectsCleared) => "metadef_namespace.delete_objects",
            (_, PropertiesCleared) => "metadef_namespace.delete_properties",
            (_, TagsCleared) => "metadef_namespace.delete_tags",
            (MetadefPart::Namespace, Created) => "metadef_namespace.create",
            (MetadefPart::Namespace, Updated { .. }) => "metadef_namespace.update",
            (MetadefPart::Namespace, Deleted) => "metadef_namespace.delete",
            (MetadefPart::Object(_), Created) => "metadef_object.create",
            (MetadefPart::Object(_), Updated { .. }) => "metadef_object.update",
            (MetadefPart::Object(_), Deleted) => "metadef_object.delete",
            (MetadefPart::Property(_), Created) => "metadef_property.create",
            (MetadefPart::Property(_), Updated { .. }) => "metadef_property.update",
            (MetadefPart::Property(_), Deleted) => "metadef_property.delete",
            (MetadefPart::ResourceType(_), Created) => "metadef_resource_type.create",
            (MetadefPart::ResourceType(_), Updated { .. }) => "metadef_resource_type.update",
            (MetadefPart::ResourceType(_), Deleted) => "metadef_resource_type.delete",
            (MetadefPart::Tag(_), Created) => "metadef_tag.create",
            (MetadefPart::Tag(_), Updated { .. }) => "metadef_tag.update",
            (MetadefPart::Tag(_), Deleted) => "metadef_tag.delete",
        }
    }

    /// The name of what it is about.
    pub fn part_name(&self) -> &str {
        match self.part {
            MetadefPart::Namespace => self.namespace,
            MetadefPart::Object(name)
            | MetadefPart::Property(name)
            | MetadefPart::ResourceType(name)
            | MetadefPart::Tag(name) => name,
        }
    }
}
