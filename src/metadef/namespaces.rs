//! Namespaces: they hold definitions, belong to a project, and are public or private.

use serde_json::{Map, Value};
use time::{OffsetDateTime, PrimitiveDateTime};

use super::error::{Error, Kind};
use super::events::cleared;
use super::items::{Object, Property, Tag, new_object, new_property};
use super::metadefs::Metadefs;
use super::resource_types::{Association, new_association};
use super::text::check_plane;
use crate::db::DbError;
use crate::db::metadefs::{
    self as rows, ItemKind, NamespaceFields, NamespaceQuery, NamespaceRecord, NewItem, NewNamespace,
};
use crate::image::Viewer;
use crate::notifications::{MetadefChange, MetadefPart};

/// A namespace without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    record: NamespaceRecord,
}

/// A namespace with all that is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    pub objects: Vec<Object>,
    pub properties: Vec<Property>,
    pub tags: Vec<Tag>,
    pub associations: Vec<Association>,
}

impl Namespace {
    fn of_row(record: NamespaceRecord) -> Self {
        Self { record }
    }

    /// What the namespace says of itself; [`Namespace::visibility`] and [`Namespace::is_protected`] tell what is missing there.
    pub fn fields(&self) -> &NamespaceFields {
        &self.record.fields
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.fields.namespace
    }

    /// `public` or `private`.
    pub fn visibility(&self) -> &str {
        self.record.fields.visibility.as_deref().filter(|word| !word.is_empty()).unwrap_or("private")
    }

    /// Whether it, and what is in it, may not be deleted.
    pub fn is_protected(&self) -> bool {
        self.record.fields.protected.unwrap_or(false)
    }

    pub fn created_at(&self) -> PrimitiveDateTime {
        self.record.created_at
    }

    pub fn updated_at(&self) -> Option<PrimitiveDateTime> {
        self.record.updated_at
    }

    /// The row id.
    pub(super) fn id(&self) -> i64 {
        self.record.id
    }

    /// As the database knows it, for [`NamespaceQuery::marker`].
    pub fn into_marker(self) -> NamespaceRecord {
        self.record
    }

    /// # Errors
    /// [`Error::Protected`], which names what shall be deleted.
    pub(super) fn check_deletable(&self, kind: Kind, name: &str) -> Result<(), Error> {
        if self.is_protected() { Err(Error::Protected { kind, name: name.to_owned() }) } else { Ok(()) }
    }

    /// Upstream: `_is_namespace_visible`.
    fn is_visible(&self, viewer: &Viewer) -> bool {
        let fields = self.fields();
        let is_public = fields.owner.is_none() || fields.visibility.as_deref() == Some("public");
        viewer.is_admin || is_public || (viewer.project.is_some() && viewer.project == fields.owner)
    }
}

impl Metadefs {
    /// The namespace of this name.
    ///
    /// # Errors
    /// [`Error::NamespaceMissing`], [`Error::NamespaceHidden`].
    pub async fn namespace(&self, viewer: &Viewer, name: &str) -> Result<Namespace, Error> {
        let found = rows::get(&self.db, name).await?;
        let namespace = found.map(Namespace::of_row).ok_or_else(|| Error::NamespaceMissing(name.to_owned()))?;
        if namespace.is_visible(viewer) { Ok(namespace) } else { Err(Error::NamespaceHidden(name.to_owned())) }
    }

    /// A page of namespaces with the resource types that they are associated with.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn namespaces(&self, query: NamespaceQuery) -> Result<Vec<(Namespace, Vec<Association>)>, Error> {
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let found = rows::list(&self.db, query).await?;
        Ok(found.into_iter().map(|(record, associations)| (Namespace::of_row(record), associations)).collect())
    }

    /// What is in a namespace.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn contents(&self, namespace: &Namespace) -> Result<Contents, Error> {
        let contents = rows::contents(&self.db, namespace.id()).await?;
        Ok(Contents {
            objects: contents.objects.into_iter().map(Object::of_row).collect(),
            properties: contents.properties.into_iter().map(Property::of_row).collect(),
            tags: contents.tags,
            associations: contents.associations,
        })
    }

    /// Creates a namespace with all that the document says is in it, or nothing. The result tells the present for its times.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::Invalid`], [`Error::NotAscii`].
    pub async fn create_namespace(
        &self,
        document: &Map<String, Value>,
        owner: Option<&str>,
    ) -> Result<Namespace, Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't create metadata namespace: {why}"));
        let mut fields = fields_of(document);
        fields.owner = document.get("owner").map_or(owner, Value::as_str).map(str::to_owned);
        check_plane(&plain(document)).map_err(refused)?;
        let new = NewNamespace {
            fields: fields.clone(),
            associations: documents(document, "resource_type_associations").map(new_association).collect(),
            objects: documents(document, "objects")
                .map(|object| new_object(object).map_err(refused))
                .collect::<Result<_, Error>>()?,
            tags: documents(document, "tags")
                .map(|tag| check_plane(tag).map_err(refused).map(|()| NewItem::named(text(tag, "name"))))
                .collect::<Result<_, Error>>()?,
            properties: named(document, "properties")
                .map(|(name, property)| new_property(name, property, refused))
                .collect::<Result<_, Error>>()?,
        };
        rows::create(&self.db, new.clone()).await.map_err(|error| match error {
            DbError::Rejected(_) => refused("a value is missing or too long".to_owned()),
            other => of_database(other, &fields.namespace),
        })?;
        self.announce_new(&new);
        let now = now();
        Ok(Namespace::of_row(NamespaceRecord { id: 0, fields, created_at: now, updated_at: Some(now) }))
    }

    /// Replaces what a namespace says of itself; what is in it stays. The result tells the times from before.
    ///
    /// # Errors
    /// [`Error::DuplicateRename`], [`Error::Invalid`], [`Error::NamespaceGone`].
    pub async fn update_namespace(
        &self,
        namespace: Namespace,
        document: &Map<String, Value>,
        owner: Option<&str>,
    ) -> Result<Namespace, Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't update metadata namespace: {why}"));
        check_plane(&plain(document)).map_err(refused)?;
        let mut fields = fields_of(document);
        let given = document.get("owner").and_then(Value::as_str).filter(|owner| !owner.is_empty());
        fields.owner = given.or(owner).map(str::to_owned);
        let updated = rows::update(&self.db, namespace.id(), fields.clone()).await;
        updated.map_err(|error| match error {
            DbError::Duplicate { .. } => Error::DuplicateRename {
                kind: Kind::Namespace,
                name: fields.namespace.clone(),
                namespace: fields.namespace.clone(),
            },
            DbError::Rejected(_) => refused("a value is missing or too long".to_owned()),
            other => of_database(other, namespace.name()),
        })?;
        let change = MetadefChange::Updated { old_name: namespace.name() };
        self.announce(&fields.namespace, MetadefPart::Namespace, change);
        Ok(Namespace::of_row(NamespaceRecord { fields, ..namespace.record }))
    }

    /// Deletes a namespace with all that is in it.
    ///
    /// # Errors
    /// [`Error::Protected`], [`Error::NamespaceGone`].
    pub async fn delete_namespace(&self, namespace: &Namespace) -> Result<(), Error> {
        namespace.check_deletable(Kind::Namespace, namespace.name())?;
        rows::delete(&self.db, namespace.id()).await.map_err(|error| of_database(error, namespace.name()))?;
        self.announce(namespace.name(), MetadefPart::Namespace, MetadefChange::Deleted);
        Ok(())
    }

    /// Deletes all objects, properties or tags of a namespace.
    ///
    /// # Errors
    /// [`Error::Protected`], in the name of the namespace.
    pub async fn clear(&self, namespace: &Namespace, kind: ItemKind) -> Result<(), Error> {
        namespace.check_deletable(Kind::Namespace, namespace.name())?;
        rows::clear(&self.db, kind, namespace.id()).await?;
        self.announce(namespace.name(), MetadefPart::Namespace, cleared(kind));
        Ok(())
    }
}

/// All but the owner; what is not given gets the default that it has in a new namespace.
fn fields_of(document: &Map<String, Value>) -> NamespaceFields {
    let maybe = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    NamespaceFields {
        namespace: text(document, "namespace").to_owned(),
        display_name: maybe("display_name"),
        description: maybe("description"),
        visibility: Some(maybe("visibility").unwrap_or_else(|| "private".to_owned())),
        protected: Some(document.get("protected").and_then(Value::as_bool).unwrap_or(false)),
        owner: None,
    }
}

/// The fields of a document that are no documents themselves.
fn plain(document: &Map<String, Value>) -> Map<String, Value> {
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    document.iter().filter(|(_, value)| is_plain(value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The documents in a list.
pub(super) fn documents<'a>(
    document: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> {
    document.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The documents that have names.
pub(super) fn named<'a>(
    document: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a Map<String, Value>)> {
    let members = document.get(name).and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, member)| Some((name.as_str(), member.as_object()?)))
}

pub(super) fn text<'a>(document: &'a Map<String, Value>, name: &str) -> &'a str {
    document.get(name).and_then(Value::as_str).unwrap_or("")
}

/// What a failure of the database means for something in a namespace.
pub(super) fn of_database(error: DbError, namespace: &str) -> Error {
    let kind = |what: &str| match what {
        "object" => Kind::Object,
        "property" => Kind::Property,
        "tag" => Kind::Tag,
        "association" => Kind::Association,
        _ => Kind::Namespace,
    };
    match error {
        DbError::Duplicate { what, key } => {
            Error::Duplicate { kind: kind(what), name: key, namespace: namespace.to_owned() }
        }
        DbError::NotFound { what: "namespace", .. } => Error::NamespaceGone(namespace.to_owned()),
        other => Error::Db(other),
    }
}

pub(super) fn now() -> PrimitiveDateTime {
    let now = OffsetDateTime::now_utc();
    PrimitiveDateTime::new(now.date(), now.time())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn namespace(owner: Option<&str>, visibility: Option<&str>) -> Namespace {
        let fields = NamespaceFields {
            namespace: "n".to_owned(),
            owner: owner.map(str::to_owned),
            visibility: visibility.map(str::to_owned),
            ..NamespaceFields::default()
        };
        Namespace::of_row(NamespaceRecord { id: 1, fields, created_at: now(), updated_at: None })
    }

    #[test]
    fn private_namespaces_are_their_projects_alone() {
        let viewer = |project: Option<&str>| Viewer { project: project.map(str::to_owned), is_admin: false };
        let private = namespace(Some("p"), Some("private"));
        for (project, is_seen) in [(Some("p"), true), (Some("q"), false), (None, false)] {
            assert_eq!(private.is_visible(&viewer(project)), is_seen, "{project:?}");
        }
        assert!(private.is_visible(&Viewer { project: None, is_admin: true }));
        assert!(namespace(Some("p"), Some("public")).is_visible(&viewer(None)));
        assert!(namespace(None, None).is_visible(&viewer(None)));
        assert!(!namespace(Some(""), None).is_visible(&viewer(None)));
    }

    #[test]
    fn what_is_not_given_is_private_and_unprotected() {
        let fields = fields_of(json!({"namespace": "n", "description": ""}).as_object().unwrap());
        assert_eq!((fields.visibility.as_deref(), fields.protected), (Some("private"), Some(false)));
        assert_eq!((fields.display_name, fields.description.as_deref()), (None, Some("")));
    }
}
