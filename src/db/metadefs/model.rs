//! Rows of the metadata definitions as the domain sees them (upstream: `glance/db/sqlalchemy/models_metadef.py`).

use time::PrimitiveDateTime;

use crate::db::images::list::{Direction, Viewer};

/// What a namespace says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFields {
    /// Its name.
    pub namespace: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    /// `public` or `private`; the column may be NULL.
    pub visibility: Option<String>,
    /// It, and what is in it, may not be deleted; the column may be NULL.
    pub protected: Option<bool>,
    /// Project id; NULL is refused by the database.
    pub owner: Option<String>,
}

/// A row of `metadef_namespaces`. Times are naive UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRecord {
    pub id: i64,
    pub fields: NamespaceFields,
    pub created_at: PrimitiveDateTime,
    pub updated_at: Option<PrimitiveDateTime>,
}

/// A column by which namespaces can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceColumn {
    Id,
    Namespace,
    DisplayName,
    Description,
    Visibility,
    Protected,
    Owner,
    CreatedAt,
    UpdatedAt,
}

impl NamespaceColumn {
    const ALL: [Self; 9] = [
        Self::Id,
        Self::Namespace,
        Self::DisplayName,
        Self::Description,
        Self::Visibility,
        Self::Protected,
        Self::Owner,
        Self::CreatedAt,
        Self::UpdatedAt,
    ];

    /// The column with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Namespace => "namespace",
            Self::DisplayName => "display_name",
            Self::Description => "description",
            Self::Visibility => "visibility",
            Self::Protected => "protected",
            Self::Owner => "owner",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }

    /// Whether a namespace has anything but NULL in the column.
    pub(super) const fn is_set(self, of: &NamespaceRecord) -> bool {
        let fields = &of.fields;
        match self {
            Self::Id | Self::Namespace | Self::CreatedAt => true,
            Self::DisplayName => fields.display_name.is_some(),
            Self::Description => fields.description.is_some(),
            Self::Visibility => fields.visibility.is_some(),
            Self::Protected => fields.protected.is_some(),
            Self::Owner => fields.owner.is_some(),
            Self::UpdatedAt => of.updated_at.is_some(),
        }
    }
}

/// Which namespaces a list is to have.
#[derive(Clone, Debug)]
pub struct NamespaceQuery {
    /// Who is not an administrator sees public namespaces and those of the own project.
    pub viewer: Viewer,
    pub visibility: Option<String>,
    /// Only namespaces that are associated with one of these resource types.
    pub resource_types: Option<Vec<String>>,
    /// The last namespace of the page before.
    pub marker: Option<NamespaceRecord>,
    pub sort: NamespaceColumn,
    pub direction: Direction,
    pub limit: u64,
}

/// What hangs on a namespace and has a name of its own there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    Object,
    Property,
    Tag,
}

impl ItemKind {
    pub(super) const ALL: [Self; 3] = [Self::Object, Self::Property, Self::Tag];

    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Object => "metadef_objects",
            Self::Property => "metadef_properties",
            Self::Tag => "metadef_tags",
        }
    }

    /// The word in errors.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Property => "property",
            Self::Tag => "tag",
        }
    }
}

/// A row of `metadef_objects`, `metadef_properties` or `metadef_tags`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: i64,
    pub name: String,
    /// Of an object.
    pub description: Option<String>,
    /// Of an object: names of properties with commas between them.
    pub required: Option<String>,
    /// Of an object or a property: JSON.
    pub json_schema: Option<String>,
    pub created_at: PrimitiveDateTime,
    pub updated_at: Option<PrimitiveDateTime>,
}

/// An object, a property or a tag as it is to be stored; see [`Item`] for the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewItem {
    pub name: String,
    pub description: Option<String>,
    pub required: Option<String>,
    pub json_schema: Option<String>,
}

impl NewItem {
    /// Without anything but a name, as tags are.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A column by which tags can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagColumn {
    Id,
    NamespaceId,
    Name,
    CreatedAt,
    UpdatedAt,
}

impl TagColumn {
    const ALL: [Self; 5] = [Self::Id, Self::NamespaceId, Self::Name, Self::CreatedAt, Self::UpdatedAt];

    /// The column with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::NamespaceId => "namespace_id",
            Self::Name => "name",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }

    /// Whether a tag has anything but NULL in the column.
    pub(super) const fn is_set(self, of: &Item) -> bool {
        !matches!(self, Self::UpdatedAt) || of.updated_at.is_some()
    }
}

/// Which tags of a namespace a list is to have.
#[derive(Clone, Debug)]
pub struct TagQuery {
    pub namespace: i64,
    /// The last tag of the page before.
    pub marker: Option<Item>,
    pub sort: TagColumn,
    pub direction: Direction,
    pub limit: Option<u64>,
}

/// A resource type that a namespace is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    pub resource_type_id: i64,
    /// Name of the resource type.
    pub name: String,
    /// What comes before the names of properties where they are set on such a resource.
    pub prefix: Option<String>,
    /// Which of a resource's several sets of properties is meant.
    pub properties_target: Option<String>,
    pub created_at: PrimitiveDateTime,
    pub updated_at: Option<PrimitiveDateTime>,
}

/// An association as it is to be stored; see [`Association`] for the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAssociation {
    pub name: String,
    pub prefix: Option<String>,
    pub properties_target: Option<String>,
}

/// A row of `metadef_resource_types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceType {
    pub name: String,
    pub created_at: PrimitiveDateTime,
    pub updated_at: Option<PrimitiveDateTime>,
}

/// A namespace to be created, with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewNamespace {
    pub fields: NamespaceFields,
    pub associations: Vec<NewAssociation>,
    pub objects: Vec<NewItem>,
    pub tags: Vec<NewItem>,
    pub properties: Vec<NewItem>,
}

/// All that is in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// By name.
    pub objects: Vec<Item>,
    /// By name.
    pub properties: Vec<Item>,
    /// The newest first.
    pub tags: Vec<Item>,
    /// The oldest first.
    pub associations: Vec<Association>,
}
