//! What is in a namespace: objects, which are groups of properties, single properties, and tags.

use serde::Serialize;
use serde_json::{Map, Value};
use time::PrimitiveDateTime;
use tracing::warn;

use super::error::{Error, Kind};
use super::events::part;
use super::form;
use super::metadefs::Metadefs;
use super::models::PROPERTY;
use super::namespaces::{Namespace, named, now, of_database, text};
use super::text::{check_default, check_plane};
use crate::db::DbError;
pub use crate::db::metadefs::Item as Tag;
use crate::db::metadefs::{self as rows, Item, ItemKind, NewItem, TagQuery};
use crate::notifications::MetadefChange;
use crate::schema::python::json::to_bytes;

/// A group of properties.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    id: i64,
    pub name: String,
    pub description: Option<String>,
    /// Names of properties; `None` only until it is stored.
    pub required: Option<Vec<String>>,
    /// By name; `None` only until it is stored.
    pub properties: Option<Map<String, Value>>,
    pub created_at: PrimitiveDateTime,
    pub updated_at: Option<PrimitiveDateTime>,
}

/// The description of a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    id: i64,
    pub name: String,
    /// What it may be, and what people are told of it.
    pub schema: Map<String, Value>,
}

impl Object {
    pub(super) fn of_row(row: Item) -> Self {
        let properties = schema(&row).into_iter().map(|(name, stored)| (name, form::show(&PROPERTY, stored).into()));
        let required = row.required.as_deref().filter(|names| !names.is_empty());
        Self {
            id: row.id,
            properties: Some(properties.collect()),
            required: Some(required.map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect())),
            name: row.name,
            description: row.description,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }

    /// As a client describes it.
    fn of_document(
        id: i64,
        document: &Map<String, Value>,
        times: (PrimitiveDateTime, Option<PrimitiveDateTime>),
    ) -> Self {
        Self {
            id,
            name: text(document, "name").to_owned(),
            description: document.get("description").and_then(Value::as_str).map(str::to_owned),
            required: document.get("required").and_then(Value::as_array).map(|names| texts(names)),
            properties: document.get("properties").and_then(Value::as_object).cloned(),
            created_at: times.0,
            updated_at: times.1,
        }
    }
}

impl Property {
    pub(super) fn of_row(row: Item) -> Self {
        let schema = form::show(&PROPERTY, schema(&row).into());
        Self { id: row.id, name: row.name, schema }
    }
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The JSON of a row. Something that is none hides nothing else.
fn schema(row: &Item) -> Map<String, Value> {
    match row.json_schema.as_deref().map(serde_json::from_str) {
        Some(Ok(Value::Object(schema))) => schema,
        None | Some(Ok(Value::Null)) => Map::new(),
        Some(other) => {
            let why = other.err().map_or_else(|| "not an object".to_owned(), |error| error.to_string());
            warn!(name = row.name, "the json_schema of a metadata definition cannot be read: {why}");
            Map::new()
        }
    }
}

/// What is stored of an object.
///
/// # Errors
/// A character that not every database can hold, in upstream's words.
pub(super) fn new_object(document: &Map<String, Value>) -> Result<NewItem, String> {
    check_plane(document)?;
    let required = document.get("required").and_then(Value::as_array).map(|names| texts(names).join(","));
    let properties = document.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(NewItem {
        name: text(document, "name").to_owned(),
        description: document.get("description").and_then(Value::as_str).map(str::to_owned),
        required: required.filter(|names| !names.is_empty()),
        json_schema: Some(as_stored(&properties)),
    })
}

/// What is stored of a property.
///
/// # Errors
/// [`Error::NotAscii`], or what `refused` makes of a character that not every database can hold.
pub(super) fn new_property(
    name: &str,
    schema: &Map<String, Value>,
    refused: impl Fn(String) -> Error,
) -> Result<NewItem, Error> {
    check_default(schema)?;
    let fields = Map::from_iter([("name".to_owned(), name.into()), ("json_schema".to_owned(), schema.clone().into())]);
    check_plane(&fields).map_err(refused)?;
    Ok(NewItem { json_schema: Some(as_stored(schema)), ..NewItem::named(name) })
}

/// JSON as upstream stores it.
pub(super) fn as_stored(schema: &impl Serialize) -> String {
    let text = to_bytes(schema).ok().and_then(|text| String::from_utf8(text.into()).ok());
    text.unwrap_or_else(|| "{}".to_owned())
}

fn check_defaults(object: &Map<String, Value>) -> Result<(), Error> {
    named(object, "properties").try_for_each(|(_, property)| check_default(property))
}

impl Metadefs {
    /// The objects of a namespace, by name.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn objects(&self, namespace: &Namespace) -> Result<Vec<Object>, Error> {
        Ok(rows::objects(&self.db, namespace.id()).await?.into_iter().map(Object::of_row).collect())
    }

    /// # Errors
    /// [`Error::Missing`]
    pub async fn object(&self, namespace: &Namespace, name: &str) -> Result<Object, Error> {
        Ok(Object::of_row(self.find(namespace, ItemKind::Object, name).await?))
    }

    /// Adds an object. The result tells the present for its times.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::Invalid`], [`Error::NotAscii`].
    pub async fn add_object(&self, namespace: &Namespace, document: &Map<String, Value>) -> Result<Object, Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't create metadata object: {why}"));
        check_defaults(document)?;
        let new = new_object(document).map_err(refused)?;
        self.add(namespace, ItemKind::Object, new, refused).await?;
        let now = now();
        Ok(Object::of_document(0, document, (now, Some(now))))
    }

    /// Replaces an object. The result tells the times from before.
    ///
    /// # Errors
    /// [`Error::DuplicateRename`], [`Error::Invalid`], [`Error::NotAscii`], [`Error::Missing`].
    pub async fn update_object(
        &self,
        namespace: &Namespace,
        object: &Object,
        document: &Map<String, Value>,
    ) -> Result<Object, Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't update metadata object: {why}"));
        check_defaults(document)?;
        let new = new_object(document).map_err(refused)?;
        self.update(namespace, ItemKind::Object, (object.id, &object.name), new, refused).await?;
        Ok(Object::of_document(object.id, document, (object.created_at, object.updated_at)))
    }

    /// # Errors
    /// [`Error::Missing`], [`Error::Protected`].
    pub async fn remove_object(&self, namespace: &Namespace, name: &str) -> Result<(), Error> {
        self.remove(namespace, ItemKind::Object, name).await
    }

    /// The properties of a namespace, by name.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn properties(&self, namespace: &Namespace) -> Result<Vec<Property>, Error> {
        Ok(rows::properties(&self.db, namespace.id()).await?.into_iter().map(Property::of_row).collect())
    }

    /// # Errors
    /// [`Error::Missing`]
    pub async fn property(&self, namespace: &Namespace, name: &str) -> Result<Property, Error> {
        Ok(Property::of_row(self.find(namespace, ItemKind::Property, name).await?))
    }

    /// # Errors
    /// [`Error::Duplicate`], [`Error::Invalid`], [`Error::NotAscii`].
    pub async fn add_property(&self, namespace: &Namespace, schema: &Map<String, Value>) -> Result<(), Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't create metadata property: {why}"));
        let new = new_property(text(schema, "name"), schema, refused)?;
        self.add(namespace, ItemKind::Property, new, refused).await
    }

    /// Replaces a property.
    ///
    /// # Errors
    /// [`Error::DuplicateRename`], [`Error::Invalid`], [`Error::NotAscii`], [`Error::Missing`].
    pub async fn update_property(
        &self,
        namespace: &Namespace,
        property: &Property,
        schema: &Map<String, Value>,
    ) -> Result<(), Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't update metadata property: {why}"));
        let new = new_property(text(schema, "name"), schema, refused)?;
        self.update(namespace, ItemKind::Property, (property.id, &property.name), new, refused).await
    }

    /// # Errors
    /// [`Error::Missing`], [`Error::Protected`].
    pub async fn remove_property(&self, namespace: &Namespace, name: &str) -> Result<(), Error> {
        self.remove(namespace, ItemKind::Property, name).await
    }

    /// A page of tags; `query` names the last tag of the page before by `marker` alone.
    ///
    /// # Errors
    /// [`Error::Missing`] for a marker that is not there.
    pub async fn tags(&self, namespace: &Namespace, query: TagQuery) -> Result<Vec<Tag>, Error> {
        Ok(rows::tags(&self.db, TagQuery { namespace: namespace.id(), ..query }).await?)
    }

    /// # Errors
    /// [`Error::Missing`]
    pub async fn tag(&self, namespace: &Namespace, name: &str) -> Result<Tag, Error> {
        self.find(namespace, ItemKind::Tag, name).await
    }

    /// Adds a tag. The result tells the present for its times.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::Invalid`].
    pub async fn add_tag(&self, namespace: &Namespace, name: &str) -> Result<Tag, Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't create metadata tag: {why}"));
        check_name(name).map_err(refused)?;
        self.add(namespace, ItemKind::Tag, NewItem::named(name), refused).await?;
        let (name, now) = (name.to_owned(), now());
        let updated_at = Some(now);
        Ok(Tag { id: 0, name, description: None, required: None, json_schema: None, created_at: now, updated_at })
    }

    /// Gives a namespace these tags, in place of those that it has unless `keeps_others`. None at all change nothing.
    ///
    /// # Errors
    /// [`Error::Duplicate`]
    pub async fn add_tags(&self, namespace: &Namespace, names: Vec<String>, keeps_others: bool) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let refused = |why: String| Error::Invalid(format!("Couldn't create metadata tags: {why}"));
        let tags = names.iter().map(|name| NewItem::named(name.as_str())).collect();
        let added = rows::add_tags(&self.db, namespace.id(), tags, keeps_others).await;
        added.map_err(|error| of_write(error, namespace, refused))?;
        for name in &names {
            self.announce(namespace.name(), part(ItemKind::Tag, name), MetadefChange::Created);
        }
        Ok(())
    }

    /// Renames a tag. The result tells the times from before.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::Invalid`], [`Error::Missing`].
    pub async fn update_tag(&self, namespace: &Namespace, tag: Tag, name: &str) -> Result<Tag, Error> {
        let refused = |why: String| Error::Invalid(format!("Couldn't update metadata tag: {why}"));
        check_name(name).map_err(refused)?;
        self.update(namespace, ItemKind::Tag, (tag.id, &tag.name), NewItem::named(name), refused).await?;
        Ok(Tag { name: name.to_owned(), ..tag })
    }

    /// # Errors
    /// [`Error::Missing`], [`Error::Protected`].
    pub async fn remove_tag(&self, namespace: &Namespace, name: &str) -> Result<(), Error> {
        self.remove(namespace, ItemKind::Tag, name).await
    }

    async fn find(&self, namespace: &Namespace, kind: ItemKind, name: &str) -> Result<Item, Error> {
        rows::find_item(&self.db, kind, namespace.id(), name).await?.ok_or_else(|| missing(kind, name))
    }

    async fn add(
        &self,
        namespace: &Namespace,
        kind: ItemKind,
        new: NewItem,
        refused: impl Fn(String) -> Error,
    ) -> Result<(), Error> {
        let item = new.name.clone();
        let added = rows::add_item(&self.db, kind, namespace.id(), new).await;
        added.map_err(|error| of_write(error, namespace, refused))?;
        self.announce(namespace.name(), part(kind, &item), MetadefChange::Created);
        Ok(())
    }

    /// `old`: row id and name.
    async fn update(
        &self,
        namespace: &Namespace,
        kind: ItemKind,
        old: (i64, &str),
        new: NewItem,
        refused: impl Fn(String) -> Error,
    ) -> Result<(), Error> {
        let (id, name) = old;
        let new_name = new.name.clone();
        rows::update_item(&self.db, kind, id, new).await.map_err(|error| match error {
            DbError::NotFound { .. } => missing(kind, name),
            DbError::Duplicate { key, .. } if kind != ItemKind::Tag => {
                let namespace = namespace.name().to_owned();
                Error::DuplicateRename { kind: of_item(kind), name: key, namespace }
            }
            other => of_write(other, namespace, refused),
        })?;
        let change = MetadefChange::Updated { old_name: name };
        self.announce(namespace.name(), part(kind, &new_name), change);
        Ok(())
    }

    async fn remove(&self, namespace: &Namespace, kind: ItemKind, name: &str) -> Result<(), Error> {
        let item = self.find(namespace, kind, name).await?;
        namespace.check_deletable(of_item(kind), &item.name)?;
        rows::remove_item(&self.db, kind, item.id).await.map_err(|error| match error {
            DbError::NotFound { .. } => missing(kind, name),
            other => other.into(),
        })?;
        self.announce(namespace.name(), part(kind, &item.name), MetadefChange::Deleted);
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    check_plane(&Map::from_iter([("name".to_owned(), name.into())]))
}

fn of_write(error: DbError, namespace: &Namespace, refused: impl Fn(String) -> Error) -> Error {
    match error {
        DbError::Rejected(_) => refused("a value is too long".to_owned()),
        other => of_database(other, namespace.name()),
    }
}

fn of_item(kind: ItemKind) -> Kind {
    match kind {
        ItemKind::Object => Kind::Object,
        ItemKind::Property => Kind::Property,
        ItemKind::Tag => Kind::Tag,
    }
}

fn missing(kind: ItemKind, name: &str) -> Error {
    Error::Missing { kind: of_item(kind), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(required: Option<&str>, json_schema: Option<&str>) -> Item {
        let (required, json_schema) = (required.map(str::to_owned), json_schema.map(str::to_owned));
        let name = "o".to_owned();
        Item { id: 1, name, description: None, required, json_schema, created_at: now(), updated_at: None }
    }

    #[test]
    fn objects_are_shown_whatever_is_stored() {
        for (required, json_schema, names, properties) in [
            (None, Some("{}"), &[][..], json!({})),
            (Some("a,b,"), Some("null"), &["a", "b", ""][..], json!({})),
            (Some(""), Some("[1]"), &[][..], json!({})),
            (None, Some("{"), &[][..], json!({})),
            (
                None,
                Some(r#"{"p": {"title": "P", "type": "integer", "default": 1}}"#),
                &[][..],
                json!({"p": {"type": "integer", "title": "P", "default": "1"}}),
            ),
        ] {
            let object = Object::of_row(row(required, json_schema));
            assert_eq!(object.required.unwrap(), names, "{required:?}");
            assert_eq!(Value::from(object.properties.unwrap()), properties, "{json_schema:?}");
        }
    }

    #[test]
    fn objects_are_stored_as_upstream_stores_them() {
        let document =
            json!({"name": "o", "required": ["a", "b"], "properties": {"a": {"type": "string", "title": "ä"}}});
        let new = new_object(document.as_object().unwrap()).unwrap();
        assert_eq!(new.required.as_deref(), Some("a,b"));
        assert_eq!(new.json_schema.as_deref(), Some(r#"{"a": {"type": "string", "title": "\u00e4"}}"#));
        let bare = new_object(json!({"name": "o", "required": []}).as_object().unwrap()).unwrap();
        assert_eq!((bare.required, bare.json_schema.as_deref()), (None, Some("{}")));
    }
}
