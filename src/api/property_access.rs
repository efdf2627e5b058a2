//! What the caller of a request may do with single properties of images (upstream: `glance/api/property_protections.py`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Error;
use crate::identity::Context;
use crate::image::patch::{self, Operation};
use crate::image::{self, Edit, Image};
use crate::policy::{PropertyOperation, Protections, Rules};

/// Asks the protections on behalf of one request.
pub(super) struct PropertyAccess<'a> {
    protections: Option<&'a Protections>,
    rules: &'a Rules,
    context: &'a Context,
    readable: Mutex<Readable>,
}

/// What is already known of the properties that the caller may read: images of a list have mostly the same, and a request asks about
/// those of its image for each rule.
#[derive(Default)]
struct Readable {
    /// Names that were asked about.
    names: HashSet<String>,
    /// By the place of the section.
    sections: HashMap<usize, bool>,
    /// Names that the caller may not read.
    hidden: Arc<HashSet<String>>,
}

impl<'a> PropertyAccess<'a> {
    pub(super) fn new(protections: Option<&'a Protections>, rules: &'a Rules, context: &'a Context) -> Self {
        Self { protections, rules, context, readable: Mutex::default() }
    }

    /// Takes from images the properties that the caller may not read.
    ///
    /// # Errors
    /// 500 when the policy cannot be asked.
    pub(super) async fn hide(&self, images: &mut [Image]) -> Result<(), Error> {
        for image in images {
            let hidden = self.hidden_in(image).await?;
            hidden.iter().for_each(|name| image.properties.remove(name));
        }
        Ok(())
    }

    /// Takes from an image that is to be changed what the caller may not read. It stays in the database.
    ///
    /// # Errors
    /// As [`PropertyAccess::hide`].
    pub(super) async fn hide_in(&self, edit: &mut Edit) -> Result<(), Error> {
        let hidden = self.hidden_in(edit.image()).await?;
        hidden.iter().for_each(|name| edit.hide_property(name));
        Ok(())
    }

    /// Whether a new image may have these properties.
    ///
    /// # Errors
    /// 403 for the first that the caller may not create.
    pub(super) async fn check_new(&self, names: impl Iterator<Item = &String>) -> Result<(), Error> {
        for name in names {
            self.check(name, PropertyOperation::Create).await?;
        }
        Ok(())
    }

    /// Whether an operation may do to a property what it does. One that will fail anyway is let through.
    ///
    /// # Errors
    /// 403
    pub(super) async fn check_operation(&self, edit: &Edit, operation: &Operation) -> Result<(), Error> {
        let name = operation.root();
        if self.protections.is_none() || !Edit::is_property(name) {
            return Ok(());
        }
        let access = match (operation.op, edit.image().has_property(name)) {
            (patch::OperationKind::Add, false) => PropertyOperation::Create,
            (patch::OperationKind::Add, true) if operation.refuses_present() => return Ok(()),
            (patch::OperationKind::Add | patch::OperationKind::Replace, true) => PropertyOperation::Update,
            (patch::OperationKind::Remove, true) => PropertyOperation::Delete,
            (patch::OperationKind::Replace | patch::OperationKind::Remove, false) => return Ok(()),
        };
        self.check(name, access).await
    }

    async fn check(&self, name: &str, operation: PropertyOperation) -> Result<(), Error> {
        let Some(protections) = self.protections else { return Ok(()) };
        let is_allowed = match protections.section(name) {
            None => false,
            Some(section) => protections.allows(section, operation, self.rules, self.context).await?,
        };
        if is_allowed { Ok(()) } else { Err(image::Error::Reserved(name.to_owned()).into()) }
    }

    /// The properties of an image that the caller may not read.
    ///
    /// # Errors
    /// As [`PropertyAccess::hide`].
    pub(super) async fn hidden_in(&self, image: &Image) -> Result<Vec<String>, Error> {
        self.learn(image.properties.names()).await?;
        let hidden = self.hidden();
        Ok(image.properties.names().filter(|name| hidden.contains(*name)).map(str::to_owned).collect())
    }

    /// Finds out which of these names the caller may read, for [`PropertyAccess::hidden`].
    ///
    /// # Errors
    /// As [`PropertyAccess::hide`].
    pub(super) async fn learn(&self, names: impl Iterator<Item = &str>) -> Result<(), Error> {
        if let Some(protections) = self.protections {
            for name in names {
                self.find_out(protections, name).await?;
            }
        }
        Ok(())
    }

    /// The names that the caller may not read, of those that were asked about.
    pub(super) fn hidden(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.readable().hidden)
    }

    async fn find_out(&self, protections: &Protections, name: &str) -> Result<(), Error> {
        if self.readable().names.contains(name) {
            return Ok(());
        }
        let is_readable = match protections.section(name) {
            None => false,
            Some(section) => self.is_section_readable(protections, section).await?,
        };
        let mut readable = self.readable();
        readable.names.insert(name.to_owned());
        if !is_readable {
            // Copied only while somebody holds the set.
            Arc::make_mut(&mut readable.hidden).insert(name.to_owned());
        }
        Ok(())
    }

    async fn is_section_readable(&self, protections: &Protections, section: usize) -> Result<bool, Error> {
        let known = self.readable().sections.get(&section).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = protections.allows(section, PropertyOperation::Read, self.rules, self.context).await?;
        self.readable().sections.insert(section, found);
        Ok(found)
    }

    fn readable(&self) -> MutexGuard<'_, Readable> {
        self.readable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
