//! Changes to an image in memory, to be saved together (upstream: `glance/api/v2/images.py`, `_do_add`, `_do_replace`,
//! `_do_remove`).

use std::sync::Arc;

use super::fields::{Field, set_property};
use super::images::{Images, store_context};
use super::locations;
use super::model::Image;
use super::patch::{Operation, OperationKind};
use super::visibility::Viewer;
use super::{Error, Limits};
use crate::db::Dialect;
use crate::db::model::LocationRecord;
use crate::identity::Context;

/// An image before and after the changes made so far.
pub struct Edit {
    pub(super) before: Image,
    pub(super) after: Image,
    /// The locations as the database has them, on which the change of locations is based.
    pub(super) read_locations: Vec<LocationRecord>,
    pub(super) caller: Arc<Context>,
    known: locations::Known,
    images: Images,
}

impl Images {
    /// An image to be changed.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub async fn edit(&self, viewer: &Viewer, caller: &Arc<Context>, id: &str) -> Result<Edit, Error> {
        let mut image = self.get_as_stored(viewer, id).await?;
        let read_locations = image.locations.clone();
        self.settle_locations(&mut image);
        let (images, caller) = (self.clone(), Arc::clone(caller));
        let known = locations::Known::default();
        Ok(Edit { before: image.clone(), after: image, read_locations, caller, known, images })
    }
}

impl Edit {
    /// The image with the changes made so far.
    pub fn image(&self) -> &Image {
        &self.after
    }

    /// As [`Edit::image`], when nothing is to be saved.
    pub fn into_image(self) -> Image {
        self.after
    }

    /// Whether a change of this name is one of a custom property, not of a field.
    pub fn is_property(name: &str) -> bool {
        name != "locations" && Field::named(name).is_none()
    }

    /// Leaves a property out of sight: as if it were not there, and as it is in the database unless it is set anew.
    pub fn hide_property(&mut self, name: &str) {
        self.before.properties.remove(name);
        self.after.properties.remove(name);
    }

    /// Applies one change.
    ///
    /// # Errors
    /// What the field refuses, [`Error::PropertyMissing`], [`Error::PropertyPresent`], [`Error::PropertyFixed`],
    /// [`Error::OwnerFixed`], those of locations.
    pub async fn apply(&mut self, operation: &Operation, viewer: &Viewer) -> Result<(), Error> {
        match operation.root() {
            "locations" => {
                let context = store_context(&self.before, Some(&self.caller));
                let project = viewer.project.as_deref();
                let known = &mut self.known;
                let mut rules = locations::Rules { images: &self.images, project, context, known };
                rules.apply(&mut self.after, operation).await
            }
            // Upstream asks for an administrator at a replace only, and lets an add give the image away.
            "owner" if !viewer.is_admin && operation.op != OperationKind::Remove => Err(Error::OwnerFixed),
            _ => apply(&mut self.after, operation, &self.images.options.limits, self.images.db.dialect()),
        }
    }
}

/// Applies a change whose path is a field or a custom property.
fn apply(image: &mut Image, operation: &Operation, limits: &Limits, dialect: Dialect) -> Result<(), Error> {
    let name = operation.root();
    let field = Field::named(name);
    let is_present = field.is_some() || image.has_property(name);
    match (operation.op, &operation.value) {
        (OperationKind::Remove, _) if field.is_some() => Err(Error::PropertyFixed(name.to_owned())),
        (OperationKind::Remove | OperationKind::Replace, _) if !is_present => {
            Err(Error::PropertyMissing(name.to_owned()))
        }
        (OperationKind::Add, _) if is_present && operation.refuses_present() => {
            Err(Error::PropertyPresent(name.to_owned()))
        }
        (OperationKind::Remove, _) => {
            image.properties.remove(name);
            Ok(())
        }
        (_, None) => Ok(()),
        (_, Some(value)) => match field {
            Some(field) => field.set(image, value, limits),
            None => set_property(image, name, value, dialect),
        },
    }
}
