//! The stores that the configuration names, and the choice among them.
//!
//! Upstream: `glance_store/backend.py` (one store for each URL scheme) and `glance_store/multi_backend.py` (stores with ids,
//! `enabled_backends`), `glance/common/store_utils.py`, `sort_image_locations` in `glance/common/utils.py`.

mod open;
mod recipe;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};

use super::driver::{Driver, Store};
use super::{Location, ObjectIdentity, Reader, StoreContext, StoreError};
use crate::config::RESERVED_PREFIX;
pub use crate::config::{STAGING_STORE, TASKS_STORE};
use crate::keystone::outgoing::UrlFilter;
use crate::schema::python::or_none;
pub(crate) use open::tasks_folder;
use recipe::Recipe;

/// All stores of one configuration. A reload makes a new one; what is under way keeps the old.
pub struct Stores {
    multi: bool,
    /// In the order of `enabled_backends` (multi-store) or `stores`; reserved ones last.
    entries: Vec<StoreEntry>,
    /// Where uploads for an import wait in single-store mode; in multi-store mode it is among the entries.
    staging: Option<StoreEntry>,
    /// Index of the store that takes data when nobody chooses.
    default: usize,
    filter: UrlFilter,
}

/// One configured store.
pub struct StoreEntry {
    /// Its id; in single-store mode its driver type.
    pub id: String,
    pub description: Option<String>,
    /// Preference when reading an image that lies in several stores; higher first.
    pub weight: i64,
    pub is_default: bool,
    pub store: Arc<dyn Store>,
    driver: &'static Driver,
    /// `None`: a reload makes another.
    recipe: Option<Recipe>,
}

impl StoreEntry {
    /// Whether it is one of the service's own, which no user may see or name.
    fn is_reserved(&self) -> bool {
        self.id.starts_with(RESERVED_PREFIX)
    }

    /// Driver type: `file`, `rbd`, …
    pub fn kind(&self) -> &'static str {
        self.driver.kind.name
    }

    /// Whether nothing is ever written to stores of its kind, nor removed from them.
    pub fn is_read_only(&self) -> bool {
        self.driver.kind.is_read_only
    }

    fn takes(&self, location: &Location) -> bool {
        self.driver.kind.schemes.contains(&location.scheme())
    }
}

/// A location as a row of the database has it: URL, and the store's id from its metadata.
#[derive(Clone, Copy)]
pub struct LocationRef<'a> {
    pub url: &'a str,
    pub store: Option<&'a str>,
}

impl<'a> LocationRef<'a> {
    pub fn new(url: &'a str, store: Option<&'a str>) -> Self {
        Self { url, store: store.filter(|store| !store.is_empty()) }
    }
}

impl Stores {
    /// Whether `enabled_backends` is in use.
    pub fn is_multi(&self) -> bool {
        self.multi
    }

    /// The store that takes data when the user names none.
    pub fn default_store(&self) -> &StoreEntry {
        // `open` has put a valid index there.
        &self.entries[self.default]
    }

    /// The store of that id, for a user who names one; reserved stores do not exist for users.
    ///
    /// # Errors
    /// `UnknownStore`; in single-store mode always, as stores have no ids there.
    pub fn get(&self, id: &str) -> Result<&StoreEntry, StoreError> {
        let found = self.public().find(|entry| self.multi && entry.id == id);
        found.ok_or_else(|| StoreError::UnknownStore { store: id.to_owned() })
    }

    /// One of the service's own stores ([`STAGING_STORE`], [`TASKS_STORE`]); they exist in multi-store mode only.
    ///
    /// # Errors
    /// `UnknownStore`.
    pub fn reserved(&self, id: &str) -> Result<&StoreEntry, StoreError> {
        let found = self.entries.iter().find(|entry| entry.is_reserved() && entry.id == id);
        found.ok_or_else(|| StoreError::UnknownStore { store: id.to_owned() })
    }

    /// Where uploads for an import wait.
    ///
    /// # Errors
    /// `UnknownStore` where the configuration names no folder for it.
    pub fn staging(&self) -> Result<&StoreEntry, StoreError> {
        match &self.staging {
            Some(staging) => Ok(staging),
            None => self.reserved(STAGING_STORE),
        }
    }

    /// The stores that users may see, in the order of the configuration.
    pub fn public(&self) -> impl Iterator<Item = &StoreEntry> {
        self.entries.iter().filter(|entry| !entry.is_reserved())
    }

    /// All stores, the service's own included: for recovery and housekeeping.
    pub fn all(&self) -> impl Iterator<Item = &StoreEntry> {
        self.entries.iter().chain(&self.staging)
    }

    /// The store that holds a location, with the location in the form that the driver takes. Without an id in its metadata
    /// a location of a multi-store cloud may belong to several; then the first.
    ///
    /// # Errors
    /// `UnknownScheme`, `UnknownStore`.
    pub fn for_location(&self, recorded: LocationRef<'_>) -> Result<(&StoreEntry, Location), StoreError> {
        let location = Location::parse(recorded.url)?;
        let entry = self.holders(recorded, &location)?.into_iter().next();
        let unknown = || StoreError::UnknownScheme { scheme: location.scheme().to_owned() };
        Ok((entry.ok_or_else(unknown)?, location))
    }

    /// Whether a location is in a store from which nothing is ever removed.
    pub fn is_read_only(&self, recorded: LocationRef<'_>) -> bool {
        self.for_location(recorded).is_ok_and(|(entry, _)| entry.is_read_only())
    }

    /// The id of the store in which a URL lies, by its prefix: for locations whose metadata names none, or one that is no
    /// longer configured. `None` in single-store mode.
    pub fn id_for_url(&self, url: &str) -> Option<&str> {
        let location = Location::parse(url).ok().filter(|_| self.multi)?;
        let holds = |entry: &&StoreEntry| entry.takes(&location) && entry.store.owns(url);
        self.entries.iter().find(holds).map(|entry| entry.id.as_str())
    }

    /// The id that belongs in a location's metadata, where they name no store or one that is no longer configured, and the URL
    /// tells which one holds the data (upstream: `update_store_in_locations`).
    pub fn moved_to(&self, recorded: LocationRef<'_>) -> Option<&str> {
        let is_known = recorded.store.is_some_and(|id| self.public().any(|entry| entry.id == id));
        if is_known { None } else { self.id_for_url(recorded.url) }
    }

    /// Sorts locations as images are read: by their stores' weight, the highest first, else as they are.
    pub fn sort_by_weight<T>(&self, locations: &mut [T], store: impl Fn(&T) -> Option<&str>) {
        if self.multi {
            let weight = |id: &str| self.entries.iter().find(|entry| entry.id == id).map_or(0, |entry| entry.weight);
            locations.sort_by_key(|location| std::cmp::Reverse(store(location).map_or(0, weight)));
        }
    }

    /// Whether a user may register a location of that URL: a known scheme that names nothing of the service itself, and for
    /// the web a host that `[import_filtering_opts]` allows.
    ///
    /// # Errors
    /// `BadLocation` with upstream's words; the reason is logged.
    pub async fn check_external(&self, url: &str) -> Result<(), StoreError> {
        let invalid = || StoreError::BadLocation { reason: "Invalid location".to_owned() };
        let location = Location::parse(url).map_err(|_| invalid())?;
        let scheme = location.scheme();
        let takers = || self.entries.iter().filter(|entry| entry.takes(&location)).map(|entry| entry.driver);
        if takers().next().is_none() || takers().any(|driver| driver.private_schemes.contains(&scheme)) {
            tracing::info!(scheme, "location refused: its scheme is not for users");
            return Err(invalid());
        }
        if takers().any(|driver| driver.is_filtered)
            && let Err(reason) = self.filter.addresses(url).await
        {
            tracing::info!(%reason, "location refused");
            return Err(invalid());
        }
        Ok(())
    }

    /// Whether anybody who may give an image a location may give it this one, and not only other services: it lies in a
    /// configured store of a kind that is open to users (upstream: `is_http_store_configured`).
    pub fn is_open_to_users(&self, url: &str) -> bool {
        self.public().any(|entry| entry.driver.is_open_to_users && entry.store.owns(url))
    }

    /// The filter for URLs from users that the service is to fetch.
    pub fn url_filter(&self) -> &UrlFilter {
        &self.filter
    }

    /// Opens the data of one location.
    ///
    /// # Errors
    /// Those of [`Store::open`], `UnknownScheme`, `UnknownStore`.
    async fn open_location(
        &self,
        context: &StoreContext,
        recorded: LocationRef<'_>,
        range: Option<Range<u64>>,
    ) -> Result<Reader, StoreError> {
        let location = Location::parse(recorded.url)?;
        let mut outcome = Err(nowhere());
        for entry in self.holders(recorded, &location)? {
            outcome = entry.store.open(context, &location, range.clone()).await;
            if !matches!(outcome, Err(StoreError::NotFound { .. })) {
                break;
            }
        }
        outcome
    }

    /// Opens the first location that can be read, in the order given. A location that gives an error instead of its first
    /// byte counts as one that cannot; later errors are the reader's.
    ///
    /// # Errors
    /// That of the last location; `NotFound` when there is none.
    pub async fn open_any(
        &self,
        context: &StoreContext,
        places: &[LocationRef<'_>],
        range: Option<Range<u64>>,
    ) -> Result<Reader, StoreError> {
        let mut last = nowhere();
        for recorded in places {
            let opened = match self.open_location(context, *recorded, range.clone()).await {
                Ok(reader) => first_byte(reader).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(reader) => return Ok(reader),
                Err(error) => {
                    tracing::warn!(store = recorded.store, %error, "cannot get image data from a location");
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// The size of a location's data in bytes; 0 when its server does not tell.
    ///
    /// # Errors
    /// Those of [`Store::size`]; in multi-store mode `UnknownStore` when the location names no store.
    pub async fn size(&self, context: &StoreContext, recorded: LocationRef<'_>) -> Result<u64, StoreError> {
        if self.multi && recorded.store.is_none() {
            return Err(StoreError::UnknownStore { store: or_none(None).to_owned() });
        }
        let (entry, location) = self.for_location(recorded)?;
        entry.store.size(context, &location).await
    }

    /// Whether the data of a location may be deleted, as far as its store knows. One that no store takes may.
    ///
    /// # Errors
    /// Those of [`Store::check_unused`].
    pub async fn check_unused(&self, context: &StoreContext, recorded: LocationRef<'_>) -> Result<(), StoreError> {
        let Ok(location) = Location::parse(recorded.url) else { return Ok(()) };
        for entry in self.holders(recorded, &location).unwrap_or_default() {
            entry.store.check_unused(context, &location).await?;
        }
        Ok(())
    }

    /// Whether a location leads to the same object as one of others, though their URLs differ: a file has a name for each way to it.
    ///
    /// # Errors
    /// That of a store in which one of them lies, and which cannot be asked.
    pub async fn is_among(&self, url: &str, others: &[&str]) -> Result<bool, StoreError> {
        let Ok(wanted) = Location::parse(url) else { return Ok(false) };
        // Where no store takes both, none is asked: it need not be there for the sake of another kind of store.
        let is_akin = |other: &Location| self.takers(other).any(|entry| entry.takes(&wanted));
        let others: Vec<Location> = others.iter().flat_map(|other| Location::parse(other)).filter(is_akin).collect();
        if others.is_empty() {
            return Ok(false);
        }
        let wanted = self.identities(&wanted).await?;
        for other in &others {
            if self.identities(other).await?.iter().any(|identity| wanted.contains(identity)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The stores of all kinds that have locations of this scheme.
    fn takers(&self, location: &Location) -> impl Iterator<Item = &StoreEntry> {
        self.entries.iter().chain(&self.staging).filter(|entry| entry.takes(location))
    }

    /// All that a location may lead to: a URL that names no store has an object in each store that takes it.
    async fn identities(&self, location: &Location) -> Result<Vec<ObjectIdentity>, StoreError> {
        // The store in which it lay may not be configured any more. Any of its kind can tell then.
        let owner = self.takers(location).find(|entry| entry.store.owns(location.url()));
        let asked = owner.map_or_else(|| self.takers(location).collect(), |entry| vec![entry]);
        let mut identities = Vec::new();
        for entry in asked {
            match entry.store.identity(location).await {
                Err(StoreError::BadLocation { .. }) => {}
                found => identities.extend(found?),
            }
        }
        Ok(identities)
    }

    /// Deletes the data of a location; one that names no store is looked for in all that it may lie in.
    ///
    /// # Errors
    /// Those of [`Store::delete`], `UnknownScheme`, `UnknownStore`.
    pub async fn delete(&self, context: &StoreContext, recorded: LocationRef<'_>) -> Result<(), StoreError> {
        let location = Location::parse(recorded.url)?;
        let mut outcome = Err(nowhere());
        for entry in self.holders(recorded, &location)? {
            outcome = entry.store.delete(context, &location).await;
            if !matches!(outcome, Err(StoreError::NotFound { .. })) {
                break;
            }
        }
        outcome
    }

    fn holders(&self, recorded: LocationRef<'_>, location: &Location) -> Result<Vec<&StoreEntry>, StoreError> {
        let unknown = || StoreError::UnknownScheme { scheme: location.scheme().to_owned() };
        if !self.multi {
            // The last wins, as a later registration of a scheme replaces an earlier one.
            let entry = self.entries.iter().rfind(|entry| entry.takes(location));
            // Its files have URLs like those of a file store.
            let is_staged = |staging: &&StoreEntry| staging.takes(location) && staging.store.owns(recorded.url);
            let staging = self.staging.as_ref().filter(is_staged);
            let owner = entry.filter(|entry| entry.store.owns(recorded.url));
            return Ok(vec![owner.or(staging).or(entry).ok_or_else(unknown)?]);
        }
        if let Some(id) = recorded.store {
            let entry = self.entries.iter().find(|entry| entry.id == id);
            let entry = entry.ok_or_else(|| StoreError::UnknownStore { store: id.to_owned() })?;
            return if entry.takes(location) { Ok(vec![entry]) } else { Err(unknown()) };
        }
        tracing::warn!(scheme = location.scheme(), "a location names no store; looking for its data in all of them");
        Ok(self.entries.iter().filter(|entry| entry.takes(location)).collect())
    }
}

fn nowhere() -> StoreError {
    StoreError::NotFound { image: or_none(None).to_owned() }
}

/// Waits for the first piece of a stream and puts it back before the rest.
async fn first_byte(reader: Reader) -> Result<Reader, StoreError> {
    let Reader::Stream(mut data) = reader else { return Ok(reader) };
    match data.next().await {
        None => Ok(Reader::Stream(Box::pin(stream::empty()))),
        Some(Err(error)) => Err(StoreError::RemoteUnavailable { source: Some(Box::new(error)) }),
        Some(Ok(piece)) => Ok(Reader::Stream(Box::pin(rejoin(piece, data)))),
    }
}

fn rejoin<S: Stream<Item = std::io::Result<Bytes>>>(piece: Bytes, rest: S) -> impl Stream<Item = S::Item> {
    stream::once(std::future::ready(Ok(piece))).chain(rest)
}

#[cfg(test)]
mod tests;
