//! What the steps of an import's task do to its image.

use super::hold::{Hold, Plan};
use super::pour::Imported;
use super::{FAILED, IMPORTING, LOCK, stores};
use crate::db::model::{ImageUpdate, LocationRecord, OtherLocations, OtherProperties};
use crate::db::reserved::STAGE_HOST;
use crate::db::tasks::ImageStep;
use crate::image::intent_log::Token;
use crate::image::transitions::{to, with_hashes};
use crate::image::{Error, Image, Images, Status};

/// What properties an import gives its image, and takes from it.
#[derive(Default)]
struct Properties {
    set: Vec<(String, Option<String>)>,
    gone: Vec<String>,
}

impl Images {
    /// The import begins.
    pub(crate) fn step_of_begin(&self, plan: &Plan, hold: &Hold) -> ImageStep {
        let image = &plan.image;
        let properties = Properties {
            set: vec![
                (IMPORTING.to_owned(), Some(stores::with(image.property(IMPORTING), &plan.stores))),
                (FAILED.to_owned(), Some(stores::without(image.property(FAILED), &plan.stores))),
            ],
            gone: vec![STAGE_HOST.to_owned()],
        };
        let change = if plan.is_copy { ImageUpdate::default() } else { to(Status::Importing) };
        step(image, change, from_of_begin(plan), &hold.token, properties, false)
    }

    /// Custom properties that the image keeps, whatever becomes of its data.
    pub(crate) fn step_of_injection(&self, plan: &Plan, hold: &Hold, wanted: &[(String, String)]) -> ImageStep {
        let mut properties = Properties::default();
        set(wanted, &mut properties);
        step(&plan.image, ImageUpdate::default(), from_of_end(plan), &hold.token, properties, false)
    }

    /// The data is in the stores. `known`: the image as it is by now.
    pub(crate) fn step_of_success(&self, plan: &Plan, hold: &Hold, known: &Image, imported: &Imported) -> ImageStep {
        // Where an image has none that are read, a location that was told before was refused.
        let mut locations = if plan.is_copy { known.locations.clone() } else { Vec::new() };
        locations.extend(imported.locations.iter().cloned());
        let change = ImageUpdate {
            locations: Some(locations),
            read_locations: Some(known.locations.clone()),
            ..facts(plan, imported)
        };
        let mut properties = outcome(known, &plan.stores, &imported.lost);
        set(&plan.transformed.copied, &mut properties);
        inject(plan, &mut properties);
        // Data that was barred meanwhile is not to be copied.
        let from = if plan.is_copy { words(&[Status::Active]) } else { from_of_end(plan) };
        step(known, change, from, &hold.token, properties, true)
    }

    /// Nothing was kept. `failed`: the stores to blame; `back`: the status of an image that had no data before.
    pub(crate) fn step_of_failure(
        &self,
        plan: &Plan,
        hold: &Hold,
        known: &Image,
        failed: &[String],
        back: Status,
    ) -> ImageStep {
        let change = if plan.is_copy { ImageUpdate::default() } else { self.back_to(back) };
        let mut properties = outcome(known, &plan.stores, failed);
        inject(plan, &mut properties);
        if let Some(host) = &self.options.self_url {
            remember_host(host, back, &mut properties);
        }
        step(known, change, from_of_end(plan), &hold.token, properties, true)
    }

    /// A limit forbids the import (upstream: `assert_quota` in `glance/async_/flows/api_image_import.py`). No store is to blame.
    pub(crate) fn step_of_refusal(&self, plan: &Plan, hold: &Hold) -> ImageStep {
        let image = &plan.image;
        let set = vec![(IMPORTING.to_owned(), Some(stores::without(image.property(IMPORTING), &plan.stores)))];
        let change = if plan.is_copy { ImageUpdate::default() } else { self.back_to(Status::Queued) };
        step(image, change, from_of_end(plan), &hold.token, Properties { set, gone: Vec::new() }, true)
    }

    /// Nothing was begun: the image is as it was when the import was asked for.
    pub(crate) fn step_of_nothing(&self, image: &Image, hold: &Hold) -> ImageStep {
        step(image, ImageUpdate::default(), from_of(image), &hold.token, Properties::default(), true)
    }

    /// The task's end where somebody has given the image its data before it began, by a change of its locations or an upload that is done.
    pub(crate) fn step_of_overtaken(&self, image: &Image, hold: &Hold) -> ImageStep {
        step(image, ImageUpdate::default(), words(&AT_REST), &hold.token, Properties::default(), true)
    }

    /// As [`Images::step_of_failure`], for a worker that died. `back`: `None` if it looked at a location that was told. `host`: where
    /// others reach the machine that has the staged data, if this is the one.
    pub(super) fn step_of_reclaim(
        &self,
        known: &Image,
        stores: &[String],
        back: Option<Status>,
        token: &Token,
        host: Option<&str>,
    ) -> ImageStep {
        let is_importing = known.status == Status::Importing;
        let change = match back {
            _ if !is_importing => ImageUpdate::default(),
            Some(back) => self.back_to(back),
            // Its data was not seen to the end, and is not ours to remove.
            None => ImageUpdate { other_locations: OtherLocations::Delete, ..self.unplaced(known).0 },
        };
        let mut properties = if stores.is_empty() && known.property(IMPORTING).is_none() {
            Properties::default()
        } else {
            outcome(known, stores, stores)
        };
        if is_importing && let (Some(back), Some(host)) = (back, host) {
            remember_host(host, back, &mut properties);
        }
        step(known, change, from_of(known), token, properties, true)
    }

    /// Whether an image may have these properties besides its own. If it has all of them already, however many there are.
    ///
    /// # Errors
    /// [`Error::TooMany`]
    pub(crate) fn check_added(&self, image: &Image, added: &[(String, String)]) -> Result<(), Error> {
        let added = || added.iter().map(|(name, _)| name.as_str());
        if added().all(|name| image.has_property(name)) {
            return Ok(());
        }
        let own = image.properties.names().filter(|own| added().all(|name| name != *own));
        self.options.limits.check_properties(own.chain(added()))
    }

    fn back_to(&self, status: Status) -> ImageUpdate {
        // Staged data keeps its size.
        let size = (status == Status::Queued).then_some(None);
        ImageUpdate { size, virtual_size: size.map(|_| None), ..to(status) }
    }
}

/// What is known of an image once its data is in the stores.
fn facts(plan: &Plan, imported: &Imported) -> ImageUpdate {
    if plan.is_copy && imported.locations.is_empty() {
        return ImageUpdate::default();
    }
    let made = &plan.transformed;
    let read = ImageUpdate {
        size: Some(i64::try_from(imported.size).ok()),
        virtual_size: imported.virtual_size.or(made.virtual_size).map(|size| i64::try_from(size).ok()),
        ..ImageUpdate::default()
    };
    let read = with_hashes(read, imported.hashes.clone());
    if plan.is_copy {
        // As upstream has it: nobody may have read the data before, where a client has said at which location it lies.
        return read;
    }
    let judged = |made: &Option<String>, given: &Option<String>| Some(made.as_ref().or(given.as_ref()).cloned());
    ImageUpdate {
        // Always, as upstream saves the whole image: clients may have changed the formats since the data was judged by them.
        disk_format: judged(&made.disk_format, &plan.image.disk_format),
        container_format: judged(&made.container_format, &plan.image.container_format),
        status: Some(Status::Active.as_str().to_owned()),
        ..read
    }
}

/// The statuses of an image that has its data. Barred or not, it is there.
const AT_REST: [Status; 2] = [Status::Active, Status::Deactivated];

/// The statuses of an image in which others have left it as it was.
fn from_of(image: &Image) -> Vec<String> {
    if AT_REST.contains(&image.status) { words(&AT_REST) } else { words(&[image.status]) }
}

fn remember_host(host: &str, back: Status, properties: &mut Properties) {
    if back == Status::Uploading {
        properties.set.push((STAGE_HOST.to_owned(), Some(host.to_owned())));
    }
}

fn words(statuses: &[Status]) -> Vec<String> {
    statuses.iter().map(|status| status.as_str().to_owned()).collect()
}

/// What plugins want to stand on the image, whatever becomes of its data, as far as it could not be written down before.
fn inject(plan: &Plan, properties: &mut Properties) {
    set(&plan.transformed.properties, properties);
}

/// Of two values of a name, the later one counts.
fn set(wanted: &[(String, String)], properties: &mut Properties) {
    properties.set.retain(|(name, _)| wanted.iter().all(|(later, _)| later != name));
    properties.set.extend(wanted.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
}

fn from_of_begin(plan: &Plan) -> Vec<String> {
    // The second is for another attempt, when the answer to the first was lost.
    if plan.is_copy { from_of_end(plan) } else { words(&[plan.image.status, Status::Importing]) }
}

fn from_of_end(plan: &Plan) -> Vec<String> {
    words(if plan.is_copy { &AT_REST } else { &[Status::Importing] })
}

/// None of the stores is written to any more, and these have failed.
fn outcome(known: &Image, stores: &[String], failed: &[String]) -> Properties {
    let set = vec![
        (IMPORTING.to_owned(), Some(stores::without(known.property(IMPORTING), stores))),
        (FAILED.to_owned(), Some(stores::with(known.property(FAILED), failed))),
    ];
    Properties { set, gone: Vec::new() }
}

fn step(
    image: &Image,
    change: ImageUpdate,
    from: Vec<String>,
    token: &Token,
    properties: Properties,
    is_end: bool,
) -> ImageStep {
    let change = ImageUpdate {
        properties: Some(properties.set),
        other_properties: OtherProperties::DeleteNamed(properties.gone),
        ..change
    };
    ImageStep { id: image.id.clone(), change, from, token: token.as_str().to_owned(), unlocks: is_end.then_some(LOCK) }
}

/// The locations of data that was just stored.
pub(super) fn locations(stored: Vec<crate::store::Stored>) -> Vec<LocationRecord> {
    stored.into_iter().map(|stored| LocationRecord::active(stored.url, stored.metadata)).collect()
}
