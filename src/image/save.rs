//! Writing what a PATCH changed, and only that, so that two requests which change different things both count.

use super::Error;
use super::edit::Edit;
use super::images::Images;
use super::model::Image;
use super::visibility::Viewer;
use crate::db::DbError;
use crate::db::images as rows;
use crate::db::model::{ImageUpdate, OtherProperties};
use crate::notifications::Change;

impl Images {
    /// Saves the changes of an edit.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the viewer is not the owner or would lose sight of the image, [`Error::TooMany`],
    /// [`Error::Raced`] if the image's status changed meanwhile and the changes depend on it.
    pub async fn save(&self, viewer: &Viewer, edit: Edit) -> Result<Image, Error> {
        let (before, mut after) = edit.into_parts();
        if after.properties.iter().any(|(name, _)| !before.has_property(name)) {
            self.options.limits.check_properties(after.properties.iter().map(|(name, _)| name.as_str()))?;
        }
        check_owner(viewer, &before)?;
        if !self.can_see(viewer, &after).await? {
            return Err(Error::Forbidden(format!("Forbidding request, image {} not visible", after.id)));
        }
        let update = difference(&before, &after);
        // Formats and locations may change in some statuses only; nothing else cares.
        let wanted = [before.status.as_str()];
        let depends_on_status = update.status.is_some()
            || update.disk_format.is_some()
            || update.container_format.is_some()
            || update.locations.is_some();
        let from_states = depends_on_status.then_some(&wanted[..]);
        let record = rows::update(&self.db, &before.id, update, from_states).await.map_err(|error| match error {
            DbError::StateConflict { current, .. } => Error::Raced { id: before.id.clone(), current },
            DbError::NotFound { .. } => Error::NotFound(before.id.clone()),
            other => other.into(),
        })?;
        let member = after.member.take();
        let mut saved = Image::from_record(record, viewer.project.as_deref())?;
        saved.member = member;
        self.settle_locations(&mut saved);
        self.announce(&saved, Change::Updated);
        Ok(saved)
    }
}

/// What the database layer asks whatever the policy says (upstream: `is_image_mutable`).
pub(super) fn check_owner(viewer: &Viewer, image: &Image) -> Result<(), Error> {
    let is_allowed = viewer.may_change(image.owner.as_deref());
    if is_allowed { Ok(()) } else { Err(Error::Forbidden("You do not own this image".to_owned())) }
}

fn difference(before: &Image, after: &Image) -> ImageUpdate {
    fn changed<T: Clone + PartialEq>(before: &T, after: &T) -> Option<T> {
        (before != after).then(|| after.clone())
    }
    let (set, removed) = property_changes(before, after);
    ImageUpdate {
        name: changed(&before.name, &after.name),
        size: changed(&before.size, &after.size),
        status: (before.status != after.status).then(|| after.status.as_str().to_owned()),
        visibility: (before.visibility != after.visibility).then(|| after.visibility.as_str().to_owned()),
        disk_format: changed(&before.disk_format, &after.disk_format),
        container_format: changed(&before.container_format, &after.container_format),
        checksum: changed(&before.checksum, &after.checksum),
        os_hash_algo: changed(&before.os_hash_algo, &after.os_hash_algo),
        os_hash_value: changed(&before.os_hash_value, &after.os_hash_value),
        owner: changed(&before.owner, &after.owner),
        min_disk: changed(&before.min_disk, &after.min_disk),
        min_ram: changed(&before.min_ram, &after.min_ram),
        protected: changed(&before.protected, &after.protected),
        os_hidden: changed(&before.os_hidden, &after.os_hidden),
        properties: (!set.is_empty() || !removed.is_empty()).then_some(set),
        other_properties: OtherProperties::DeleteNamed(removed),
        tags: changed(&before.tags, &after.tags),
        locations: changed(&before.locations, &after.locations),
        ..ImageUpdate::default()
    }
}

type Properties = Vec<(String, Option<String>)>;

/// The properties that are new or have another value, and the names of those that are gone.
fn property_changes(before: &Image, after: &Image) -> (Properties, Vec<String>) {
    let set = after.properties.iter().filter(|property| !before.properties.contains(property)).cloned().collect();
    let gone = before.properties.iter().map(|(name, _)| name).filter(|name| !after.has_property(name));
    (set, gone.cloned().collect())
}
