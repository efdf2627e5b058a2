//! Writing what a PATCH changed, and only that, so that two requests which change different things both count.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Error;
use super::edit::Edit;
use super::images::{Images, location_ref, store_context};
use super::intent_log::{Intent, Token};
use super::model::Image;
use super::remove::is_for_recovery;
use super::visibility::Viewer;
use crate::db::images as rows;
use crate::db::model::{ImageRecord, ImageUpdate, LocationRecord, OtherLocations, OtherProperties};
use crate::db::{DbError, locations};
use crate::identity::Context;
use crate::notifications::Change;

impl Images {
    /// Saves the changes of an edit.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the viewer is not the owner or would lose sight of the image, [`Error::TooMany`],
    /// [`Error::Raced`] if the image's status changed meanwhile and the changes depend on it, [`Error::Conflict`] if its locations
    /// did, [`Error::Store`] if the data of a removed location cannot be removed: then the location stays.
    pub async fn save(&self, viewer: &Viewer, edit: Edit) -> Result<Image, Error> {
        let Edit { before, mut after, read_locations, caller, .. } = edit;
        if after.properties.names().any(|name| !before.has_property(name)) {
            self.options.limits.check_properties(after.properties.names())?;
        }
        check_owner(viewer, &before)?;
        if !self.can_see(viewer, &after).await? {
            return Err(Error::Forbidden(format!("Forbidding request, image {} not visible", after.id)));
        }
        let mut update = difference(&before, &after);
        // A queued image becomes active with the locations that were read, also where they stay as they are.
        let located = update.status.is_some().then(|| after.locations.clone());
        if let Some(locations) = update.locations.take().or(located) {
            update.locations = Some(as_read(locations, &before.locations, &read_locations));
            update.read_locations = Some(read_locations);
        }
        if update.status.is_some() {
            // It belongs to the locations, and somebody's failed upload may have taken it away meanwhile.
            update.size = Some(after.size);
        }
        let removed = removed_locations(&before, &after);
        let record = if removed.is_empty() {
            self.write(&before, update).await?
        } else if self.options.delayed_delete {
            update.other_locations = OtherLocations::Schedule;
            self.write(&before, update).await?
        } else {
            let images = self.clone();
            // The client may go away; the work comes to an end all the same.
            let work =
                self.tasks.spawn(async move { images.write_and_remove(&caller, &before, update, &removed).await });
            work.await.map_err(Error::Interrupted)??
        };
        let member = after.member.take();
        let mut saved = Image::from_record(record, viewer.project.as_deref());
        saved.member = member;
        self.settle_locations(&mut saved);
        self.announce(&saved, Change::Updated);
        Ok(saved)
    }
}

impl Images {
    /// Writes a change of an image's row.
    async fn write(&self, before: &Image, update: ImageUpdate) -> Result<ImageRecord, Error> {
        // Formats and locations may change in some statuses only; nothing else cares.
        let wanted = [before.status.as_str()];
        let depends_on_status = update.status.is_some()
            || update.disk_format.is_some()
            || update.container_format.is_some()
            || update.locations.is_some();
        let from_states = depends_on_status.then_some(&wanted[..]);
        rows::update(&self.db, &before.id, update, from_states).await.map_err(|error| match error {
            DbError::LocationsChanged { .. } => Error::Conflict(error.to_string()),
            other => Error::of_change(&before.id, other),
        })
    }

    /// As [`Images::write`], and removes the data at locations that the image no longer has.
    ///
    /// The row goes first, so that no reader is sent to data that is gone; the intent log lets recovery remove what a crash left. A
    /// location whose store refuses comes back.
    async fn write_and_remove(
        &self,
        caller: &Arc<Context>,
        before: &Image,
        update: ImageUpdate,
        removed: &[LocationRecord],
    ) -> Result<ImageRecord, Error> {
        let context = store_context(before, Some(caller));
        for location in removed {
            self.stores.check_unused(&context, location_ref(location)).await?;
        }
        let urls = removed.iter().map(|location| location.url.clone()).collect();
        let entry = self.begin_entry(Intent::RemoveLocations, &before.id, &Token::new(), urls).await?;
        let record = match self.write(before, update).await {
            Ok(record) => record,
            Err(error) => {
                // Whether an unknown commit has removed the rows is for recovery to find out.
                if !matches!(&error, Error::Db(database) if database.is_unknown()) {
                    self.finish_entry(entry).await;
                }
                return Err(error);
            }
        };
        let (mut is_settled, mut refused) = (true, None);
        for location in removed {
            match self.remove_location(&context, &before.id, location).await {
                Ok(_) => {}
                Err(error) if is_for_recovery(&error) => is_settled = false,
                Err(error) => {
                    if let Some(id) = location.id {
                        locations::restore(&self.db, &before.id, id).await?;
                    }
                    refused = Some(error);
                }
            }
        }
        if is_settled {
            self.finish_entry(entry).await;
        }
        refused.map_or(Ok(record), |error| Err(error.into()))
    }
}

/// Puts locations that are still as they were shown back to how they were read. An image is shown with the present names of its
/// stores; written to a row whose metadata cannot be read, they would destroy what is there.
fn as_read(locations: Vec<LocationRecord>, shown: &[LocationRecord], read: &[LocationRecord]) -> Vec<LocationRecord> {
    let (shown, read) = (by_row(shown), by_row(read));
    let stored = |location: &LocationRecord| {
        let id = location.id.filter(|id| shown.get(id).is_some_and(|shown| *shown == location))?;
        read.get(&id).map(|known| LocationRecord::clone(known))
    };
    locations.into_iter().map(|location| stored(&location).unwrap_or(location)).collect()
}

/// Locations by their row, of which each has its own.
fn by_row(locations: &[LocationRecord]) -> HashMap<i64, &LocationRecord> {
    locations.iter().filter_map(|location| Some((location.id?, location))).collect()
}

/// The locations that a change takes from an image, but for those whose data another location of it still needs. What was told of an image
/// that waits for data never became its own.
fn removed_locations(before: &Image, after: &Image) -> Vec<LocationRecord> {
    if before.status.awaits_data() {
        return Vec::new();
    }
    not_needed(&before.locations, &after.locations)
}

fn not_needed(before: &[LocationRecord], after: &[LocationRecord]) -> Vec<LocationRecord> {
    let needed: HashSet<&str> = after.iter().map(|location| location.url.as_str()).collect();
    before.iter().filter(|location| !needed.contains(location.url.as_str())).cloned().collect()
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
        properties: (!set.is_empty() || !removed.is_empty()).then_some(set),
        other_properties: OtherProperties::DeleteNamed(removed),
        tags: changed(&before.tags, &after.tags),
        locations: changed(&before.locations, &after.locations),
        ..after.changed_columns(before)
    }
}

type Properties = Vec<(String, Option<String>)>;

/// The properties that are new or have another value, and the names of those that are gone.
fn property_changes(before: &Image, after: &Image) -> (Properties, Vec<String>) {
    let is_new = |(name, value): &(&str, Option<&str>)| before.properties.get(name) != Some(*value);
    let set = after.properties.iter().filter(is_new).map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    let gone = before.properties.names().filter(|name| !after.has_property(name));
    (set.collect(), gone.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn location(id: Option<i64>, metadata: &serde_json::Value) -> LocationRecord {
        LocationRecord {
            id,
            ..LocationRecord::active("file:///data".to_owned(), metadata.as_object().unwrap().clone())
        }
    }

    #[test]
    fn locations_that_nobody_changed_are_written_as_they_were_read() {
        let (nothing, store, told) = (json!({}), json!({"store": "fast"}), json!({"store": "fast", "rack": 7}));
        let read = [location(Some(1), &nothing), location(Some(2), &nothing)];
        let shown = [location(Some(1), &store), location(Some(2), &store)];
        let wanted = vec![location(None, &store), location(Some(2), &told), shown[0].clone()];
        let expected = [location(None, &store), location(Some(2), &told), read[0].clone()];
        assert_eq!(as_read(wanted, &shown, &read), expected);
    }

    #[test]
    fn a_hundred_thousand_locations_take_no_time() {
        let numbered = |number: i64| {
            let url = format!("http://web.example/a-name-of-some-length/{number:08}");
            LocationRecord { id: Some(number), ..LocationRecord::active(url, serde_json::Map::new()) }
        };
        let known: Vec<LocationRecord> = (0..100_000).map(numbered).collect();
        let wanted: Vec<LocationRecord> = (50_000..150_000).rev().map(numbered).collect();
        let started = Instant::now();
        assert_eq!(as_read(wanted.clone(), &known, &known), wanted);
        assert_eq!(not_needed(&known, &wanted), known[..50_000]);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
