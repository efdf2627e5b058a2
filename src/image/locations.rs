//! Changes of an image's locations by PATCH (upstream: `glance/api/v2/images.py`, `_do_add_locations` and its siblings, with
//! the checks of `glance/location.py` and `glance/quota`).

mod known;

pub(super) use known::Known;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::error::Error;
use super::images::Images;
use super::model::Image;
use super::patch::{Operation, OperationKind};
use super::quota::check_storage;
use super::status::Status;
use crate::db::model::LocationRecord;
use crate::schema::python::or_none;
use crate::store::{Algorithm, LocationRef, StoreContext, StoreError};

/// What one configuration allows a project.
pub(super) struct Rules<'a> {
    pub(super) images: &'a Images,
    /// The caller's, whose storage counts.
    pub(super) project: Option<&'a str>,
    /// For whom the stores are asked.
    pub(super) context: StoreContext,
    /// Of the image that is changed.
    pub(super) known: &'a mut Known,
}

impl Rules<'_> {
    /// Applies a change whose path begins with `locations`.
    ///
    /// # Errors
    /// [`Error::LocationsFixed`], [`Error::Conflict`], [`Error::Invalid`], [`Error::BadLocation`], [`Error::MalformedLocation`],
    /// [`Error::DuplicateLocation`], [`Error::TooMany`], [`Error::StorageQuota`].
    pub(super) async fn apply(&mut self, image: &mut Image, operation: &Operation) -> Result<(), Error> {
        let value = operation.value.as_ref().unwrap_or(&Value::Null);
        match operation.op {
            OperationKind::Replace if value.as_array().is_none_or(Vec::is_empty) => {
                Err(Error::LocationsEmptied("Cannot set locations to empty list.".to_owned()))
            }
            OperationKind::Replace => self.replace(image, value).await,
            OperationKind::Add => self.add(image, operation.path.get(1).map(String::as_str), value).await,
            OperationKind::Remove => self.remove(image, operation.path.get(1).map(String::as_str)),
        }
    }

    async fn replace(&mut self, image: &mut Image, value: &Value) -> Result<(), Error> {
        self.check_allowed("update")?;
        check_status(image, "replace", &[Status::Active, Status::Queued])?;
        let given: Vec<Given> = value.as_array().into_iter().flatten().map(Given::read).collect();
        let digests = Digests::agree(image, &given, &self.images.options.hashing_algorithm)?;
        self.images.options.limits.check_locations(given.len())?;
        let mut locations: Vec<LocationRecord> = given.into_iter().map(|given| self.record(given)).collect();
        self.check_storage(image, &locations, Some(&image.id)).await?;
        let urls = |records: &[LocationRecord]| {
            let mut urls: Vec<String> = records.iter().map(|record| record.url.clone()).collect();
            urls.sort_unstable();
            urls
        };
        let is_same = urls(&locations) == urls(&image.locations);
        if is_same {
            // The same places: only what is said of them changes. But of a queued image nobody has read there.
            keep_rows(&mut locations, &image.locations);
            image.forget_refused();
        }
        if image.locations.is_empty() {
            let mut size = known_size(image).unwrap_or(0);
            let mut seen = HashSet::with_capacity(locations.len());
            for location in &locations {
                let found = self.check_place(location, size > 0).await?;
                if !seen.insert((&location.url, &location.metadata)) {
                    return Err(Error::DuplicateLocation(location.url.clone()));
                }
                size = if size == 0 { found } else { size };
            }
            set_size(image, size);
        } else if !is_same {
            return Err(Error::Invalid("Original locations is not empty".to_owned()));
        }
        image.locations = locations;
        self.known.forget();
        activate(image, digests)
    }

    async fn add(&mut self, image: &mut Image, position: Option<&str>, value: &Value) -> Result<(), Error> {
        self.check_allowed("add")?;
        check_status(image, "add", &[Status::Active, Status::Queued])?;
        let given = Given::read(value);
        let digests = Digests::agree(image, std::slice::from_ref(&given), &self.images.options.hashing_algorithm)?;
        let index = index(position, image.locations.len(), true)
            .ok_or_else(|| Error::Invalid("Invalid position for adding a location.".to_owned()))?;
        self.insert(image, index, given).await?;
        activate(image, digests)
    }

    /// Adds a place at the end of the list, as the service's own tasks do.
    ///
    /// # Errors
    /// As [`Rules::apply`].
    pub(super) async fn append(&mut self, image: &mut Image, url: &str) -> Result<(), Error> {
        let given = Given { url: url.to_owned(), metadata: Map::new(), validation: Map::new() };
        self.insert(image, image.locations.len(), given).await
    }

    async fn insert(&mut self, image: &mut Image, index: usize, given: Given) -> Result<(), Error> {
        let location = self.record(given);
        let is_known = self.known.may_have(&image.locations, &location)
            && image.locations.iter().any(|known| is_same(known, &location));
        image.forget_refused();
        if image.locations.is_empty() {
            self.known.forget();
        }
        // The image's own data counts as well, where it has some.
        let other_than = (image.status == Status::Queued).then(|| image.id.clone());
        self.check_storage(image, std::slice::from_ref(&location), other_than.as_deref()).await?;
        self.images.options.limits.check_locations(image.locations.len() + 1)?;
        let size = self.check_place(&location, known_size(image).is_some()).await?;
        if is_known {
            return Err(Error::DuplicateLocation(location.url));
        }
        self.known.added(&location);
        image.locations.insert(index.min(image.locations.len()), location);
        set_size(image, size);
        Ok(())
    }

    fn remove(&mut self, image: &mut Image, position: Option<&str>) -> Result<(), Error> {
        self.check_allowed("remove")?;
        check_status(image, "remove", &[Status::Active])?;
        if image.locations.len() == 1 {
            return Err(Error::LocationsEmptied("Cannot remove last location in the image.".to_owned()));
        }
        let index = index(position, image.locations.len(), false)
            .ok_or_else(|| Error::Invalid("Invalid position for removing a location.".to_owned()))?;
        self.known.removed(&image.locations.remove(index));
        Ok(())
    }

    fn check_allowed(&self, verb: &str) -> Result<(), Error> {
        // What is not shown may not be changed either.
        if self.images.options.shows_locations {
            return Ok(());
        }
        Err(Error::LocationsFixed(format!("It's not allowed to {verb} locations if locations are invisible.")))
    }

    /// Whether the project may store what these locations add: the image's data once for each (upstream:
    /// `_calc_required_size` in `glance/quota/__init__.py`, which also asks servers that no location may name).
    async fn check_storage(
        &self,
        image: &Image,
        locations: &[LocationRecord],
        except: Option<&str>,
    ) -> Result<(), Error> {
        if self.images.options.limits.owner_storage.is_none() {
            return Ok(());
        }
        let mut each = known_size(image);
        for location in locations {
            if each.is_some() {
                break;
            }
            match self.check_place(location, false).await {
                Ok(size) => each = Some(size),
                Err(Error::BadLocation) => {}
                Err(error) => return Err(error),
            }
        }
        let required = each.map(|size| size.saturating_mul(locations.len() as u64));
        check_storage(self.images, except, self.project, required.map(i128::from)).await.map(drop)
    }

    /// Whether data may lie there, and does. Gives its size. Upstream has other words for an image whose size it needs.
    async fn check_place(&self, location: &LocationRecord, is_size_known: bool) -> Result<u64, Error> {
        let stores = &self.images.stores;
        stores.check_external(&location.url).await.map_err(|_| Error::BadLocation)?;
        // Not in the store that the client's metadata may name.
        let place = LocationRef { url: &location.url, store: stores.id_for_url(&location.url) };
        match stores.size(&self.context, place).await {
            Ok(size) if size > 0 => Ok(size),
            Err(StoreError::BadLocation { .. }) if !is_size_known => Err(Error::MalformedLocation),
            _ => Err(Error::BadLocation),
        }
    }

    fn record(&self, given: Given) -> LocationRecord {
        let mut location = LocationRecord::active(given.url, given.metadata);
        if let Some(store) = self.images.stores.id_for_url(&location.url) {
            location.set_store(store);
        }
        location
    }
}

/// A location as the client sends it; the schema has seen it.
struct Given {
    url: String,
    metadata: Map<String, Value>,
    validation: Map<String, Value>,
}

impl Given {
    fn read(value: &Value) -> Self {
        let object = |key: &str| value.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        Self {
            url: value.get("url").and_then(Value::as_str).unwrap_or_default().to_owned(),
            metadata: object("metadata"),
            validation: object("validation_data"),
        }
    }
}

/// Digests that the client gives for data that lies there already.
#[derive(Default)]
struct Digests {
    checksum: Option<String>,
    algorithm: Option<String>,
    value: Option<String>,
}

impl Digests {
    /// What all locations say, less what the image says already (upstream: `_validate_validation_data`).
    fn agree(image: &Image, given: &[Given], wanted_algorithm: &str) -> Result<Self, Error> {
        let mut said: Map<String, Value> = Map::new();
        for (key, value) in given.iter().flat_map(|given| &given.validation) {
            if said.get(key).is_some_and(|other| other != value) {
                return Err(Error::Conflict(format!("Conflicting values for {key}")));
            }
            said.insert(key.clone(), value.clone());
        }
        let mut new = Self::default();
        let mut names = Vec::new();
        for (key, known, slot) in [
            ("checksum", &image.checksum, &mut new.checksum),
            ("os_hash_algo", &image.os_hash_algo, &mut new.algorithm),
            ("os_hash_value", &image.os_hash_value, &mut new.value),
        ] {
            let Some(value) = said.get(key).and_then(Value::as_str) else { continue };
            match known.as_deref().filter(|known| !known.is_empty()) {
                Some(known) if known == value => {}
                Some(_) => return Err(Error::Conflict(format!("{key} is already set with a different value"))),
                None => {
                    *slot = Some(value.to_owned());
                    names.push(key);
                }
            }
        }
        if names.is_empty() {
            return Ok(new);
        }
        if image.status != Status::Queued {
            let names = names.join(", ");
            let text = format!("New value(s) for {names} may only be provided when image status is 'queued'");
            return Err(Error::Conflict(text));
        }
        new.check(wanted_algorithm)?;
        Ok(new)
    }

    fn check(&self, wanted: &str) -> Result<(), Error> {
        if let Some(checksum) = &self.checksum {
            let bytes = hex::decode(checksum)
                .map_err(|_| Error::Conflict(format!("checksum ({checksum}) is not a valid hexadecimal value")))?;
            if bytes.len() != 16 {
                let text = format!("checksum ({checksum}) is not the correct size for md5 (should be 16 bytes)");
                return Err(Error::Conflict(text));
            }
        }
        if self.algorithm.as_deref() != Some(wanted) {
            let got = or_none(self.algorithm.as_deref());
            return Err(Error::Conflict(format!("os_hash_algo must be {wanted}, not {got}")));
        }
        let value = self.value.as_deref().unwrap_or_default();
        let bytes = hex::decode(value)
            .map_err(|_| Error::Conflict(format!("os_hash_value ({value}) is not a valid hexadecimal value")))?;
        let size = Algorithm::parse(wanted)?.size();
        if bytes.len() == size {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "os_hash_value ({value}) is not the correct size for {wanted} (should be {size} bytes)"
        )))
    }
}

/// A first location makes a queued image active.
fn activate(image: &mut Image, digests: Digests) -> Result<(), Error> {
    if image.status != Status::Queued {
        return Ok(());
    }
    image.check_transition(Status::Active)?;
    let Digests { checksum, algorithm, value } = digests;
    image.checksum = checksum.or_else(|| image.checksum.take());
    image.os_hash_algo = algorithm.or_else(|| image.os_hash_algo.take());
    image.os_hash_value = value.or_else(|| image.os_hash_value.take());
    image.status = Status::Active;
    Ok(())
}

/// The size of the image's data, if there is any.
fn known_size(image: &Image) -> Option<u64> {
    image.size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0)
}

fn set_size(image: &mut Image, size: u64) {
    if known_size(image).is_none() {
        image.size = i64::try_from(size).ok();
    }
}

fn check_status(image: &Image, verb: &str, allowed: &[Status]) -> Result<(), Error> {
    if allowed.contains(&image.status) {
        return Ok(());
    }
    let status = image.status;
    Err(Error::Conflict(format!("It's not allowed to {verb} locations if image status is {status}.")))
}

/// Gives each location the row of a known one with its URL, and each row once.
fn keep_rows(locations: &mut [LocationRecord], known: &[LocationRecord]) {
    let mut rows: HashMap<&str, Vec<i64>> = HashMap::with_capacity(known.len());
    for location in known.iter().rev() {
        rows.entry(&location.url).or_default().extend(location.id);
    }
    for location in locations {
        location.id = rows.get_mut(location.url.as_str()).and_then(Vec::pop);
    }
}

fn is_same(one: &LocationRecord, other: &LocationRecord) -> bool {
    one.url == other.url && one.metadata == other.metadata
}

/// The place in the list that the last part of a JSON pointer means: digits, or `-` for the end.
fn index(position: Option<&str>, length: usize, may_be_end: bool) -> Option<usize> {
    let position = position?;
    let index = if position == "-" {
        if may_be_end { length } else { length.checked_sub(1)? }
    } else if !position.is_empty() && position.bytes().all(|byte| byte.is_ascii_digit()) {
        position.parse().ok()?
    } else {
        return None;
    };
    (may_be_end || index < length).then_some(index)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn location(id: Option<i64>, url: &str) -> LocationRecord {
        LocationRecord { id, ..LocationRecord::active(url.to_owned(), Map::new()) }
    }

    #[test]
    fn each_row_is_kept_by_one_location() {
        let known = [location(Some(1), "a"), location(Some(2), "b"), location(Some(3), "a")];
        let mut wanted = [location(None, "a"), location(None, "a"), location(None, "c"), location(None, "b")];
        keep_rows(&mut wanted, &known);
        assert_eq!(wanted.map(|location| location.id), [Some(1), Some(3), None, Some(2)]);
    }

    #[test]
    fn a_hundred_thousand_locations_take_no_time() {
        let url = |number: i64| format!("http://web.example/a-name-of-some-length/{number:08}");
        let known: Vec<LocationRecord> = (0..100_000).map(|number| location(Some(number), &url(number))).collect();
        let mut wanted: Vec<LocationRecord> = (0..100_000).rev().map(|number| location(None, &url(number))).collect();
        let started = Instant::now();
        keep_rows(&mut wanted, &known);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(wanted.iter().rev().map(|location| location.id).eq((0..100_000).map(Some)));
    }
}
