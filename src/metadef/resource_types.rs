//! Resource types that namespaces are meant for. Nobody makes them: they are there as soon as one namespace names them.

use serde_json::{Map, Value};

use super::error::{Error, Kind};
use super::metadefs::Metadefs;
use super::namespaces::{Namespace, now, of_database, text};
use crate::db::DbError;
use crate::db::metadefs::{self as rows, NewAssociation};
pub use crate::db::metadefs::{Association, ResourceType};
use crate::notifications::{MetadefChange, MetadefPart};

impl Metadefs {
    /// All resource types.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn resource_types(&self) -> Result<Vec<ResourceType>, Error> {
        Ok(rows::resource_types(&self.db).await?)
    }

    /// The resource types that a namespace is associated with, the oldest association first.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn associations(&self, namespace: &Namespace) -> Result<Vec<Association>, Error> {
        Ok(rows::associations(&self.db, namespace.id()).await?)
    }

    /// The association of a namespace with this resource type.
    ///
    /// # Errors
    /// [`Error::ResourceTypeMissing`], [`Error::AssociationMissing`].
    pub async fn association(&self, namespace: &Namespace, name: &str) -> Result<Association, Error> {
        let found = self.associations(namespace).await?.into_iter().find(|association| association.name == name);
        if let Some(found) = found {
            return Ok(found);
        }
        let is_known = self.resource_types().await?.iter().any(|known| known.name == name);
        let name = name.to_owned();
        Err(match is_known {
            true => Error::AssociationMissing { name, namespace: namespace.name().to_owned() },
            false => Error::ResourceTypeMissing(name),
        })
    }

    /// Associates a namespace with a resource type. The result tells the present for its times.
    ///
    /// # Errors
    /// [`Error::Duplicate`]
    pub async fn associate(&self, namespace: &Namespace, document: &Map<String, Value>) -> Result<Association, Error> {
        let new = new_association(document);
        rows::associate(&self.db, namespace.id(), new.clone()).await.map_err(|error| match error {
            DbError::Rejected(_) => Error::Invalid("Couldn't associate resource type: a value is too long".to_owned()),
            other => of_database(other, namespace.name()),
        })?;
        self.announce(namespace.name(), MetadefPart::ResourceType(&new.name), MetadefChange::Created);
        let NewAssociation { name, prefix, properties_target } = new;
        let now = now();
        let updated_at = Some(now);
        Ok(Association { resource_type_id: 0, name, prefix, properties_target, created_at: now, updated_at })
    }

    /// Ends an association.
    ///
    /// # Errors
    /// [`Error::AssociationMissing`], [`Error::Protected`].
    pub async fn dissociate(&self, namespace: &Namespace, name: &str) -> Result<(), Error> {
        let missing = || Error::AssociationMissing { name: name.to_owned(), namespace: namespace.name().to_owned() };
        let associations = self.associations(namespace).await?;
        let found = associations.iter().find(|association| association.name == name).ok_or_else(missing)?;
        namespace.check_deletable(Kind::Association, name)?;
        rows::dissociate(&self.db, namespace.id(), found.resource_type_id).await.map_err(|error| match error {
            DbError::NotFound { .. } => missing(),
            other => other.into(),
        })?;
        self.announce(namespace.name(), MetadefPart::ResourceType(name), MetadefChange::Deleted);
        Ok(())
    }
}

/// What is stored of an association.
pub(super) fn new_association(document: &Map<String, Value>) -> NewAssociation {
    let maybe = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    NewAssociation {
        name: text(document, "name").to_owned(),
        prefix: maybe("prefix"),
        properties_target: maybe("properties_target"),
    }
}
