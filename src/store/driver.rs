//! The contract of a store, whatever lies behind it, and what is known of a kind of store before one is made.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{FileIdentity, Location, Reader, StoreContext, StoreError};
use crate::config::{DriverOptions, StoreKind};
use crate::keystone::outgoing::UrlFilter;

/// A kind of store. All that is specific to it is said here; the list of them is in `drivers`.
pub(super) struct Driver {
    /// Its name, its URL schemes and its options.
    pub(super) kind: StoreKind,
    /// Schemes that no location from outside may have: they name files and secrets of the service itself.
    pub(super) private_schemes: &'static [&'static str],
    /// Its locations are addresses of servers anywhere, which `[import_filtering_opts]` must allow.
    pub(super) is_filtered: bool,
    /// Whoever may give an image a location may name one in such a store. Of data in other kinds only a service may say that it
    /// belongs to an image: it may be somebody else's.
    pub(super) is_open_to_users: bool,
    /// Makes a store; `None` where this version cannot.
    pub(super) make: Option<Make>,
    /// For stores that hold connections or sessions: a reload that does not change their options keeps them. Gives the files that
    /// a store is made from beside its options. `None`: a new store costs nothing.
    pub(super) lasts: Option<fn(&DriverOptions) -> Vec<PathBuf>>,
    /// Makes a store that only reads, in the place of one whose options are bad. Where there is none, the store is left out.
    pub(super) make_disabled: Option<MakeDisabled>,
}

/// Makes a store. Blocks on the file system; waits for no other machine.
///
/// # Errors
/// `Configuration`, with words for the operator.
pub(super) type Make = fn(&Setup<'_>) -> Result<Arc<dyn Store>, StoreError>;

/// Makes a store from options that [`Make`] has refused.
pub(super) type MakeDisabled = fn(&Setup<'_>) -> Arc<dyn Store>;

/// What a store is made from.
#[derive(Clone, Copy)]
pub(super) struct Setup<'a> {
    /// What logs and errors call it: its section of the configuration.
    pub(super) name: &'a str,
    /// The id recorded in locations; `None` in single-store mode.
    pub(super) id: Option<&'a str>,
    /// Its driver's among others.
    pub(super) options: &'a DriverOptions,
    pub(super) filter: &'a UrlFilter,
    /// Only the options are to be looked at: nothing is created, opened or contacted.
    pub(super) only_checks: bool,
}

/// What two locations have in common that lead to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectIdentity {
    File(FileIdentity),
    /// The object's name, with the cluster and the pool in which it has it.
    Name(String),
}

/// One place where image data can lie: a directory, a bucket, a pool, the web.
///
/// All methods may be called at the same time from many tasks. Dropping a returned future before its end stops waiting;
/// what was under way in the store may still happen (a deletion, say), except that a write never becomes visible.
///
/// A crash at any instant leaves the whole object, or nothing that anybody can read. Parts of an object may stay behind only
/// where they are found and removed later: by the driver, at its next start or in a sweep, or at one of the image's
/// candidates.
pub trait Store: Send + Sync {
    /// Whether `begin` can work at all. False for read-only stores and for those whose configuration is bad.
    fn can_add(&self) -> bool;

    /// Whether `open` takes a range (upstream: `READ_RANDOM`).
    fn can_seek(&self) -> bool;

    /// Whether a URL lies inside this store, by its prefix (upstream: `url_prefix`).
    fn owns(&self, url: &str) -> bool;

    /// The URLs at which data of this image would lie if this store had written it. For recovery: an upload whose process
    /// died leaves its object, be it whole or not, at one of them.
    ///
    /// # Errors
    /// `RemoteUnavailable` when only the storage itself could tell.
    fn candidates<'a>(&'a self, image_id: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

    /// The directory of new objects, each a file of its own name; `None` where objects are no files.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// What `info/stores/detail` shows under `properties`.
    fn properties(&self) -> Map<String, Value>;

    /// Removes what writers that are no more have left behind; called from time to time. Failures are logged.
    fn sweep(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether an object of so many bytes can fit at all, for a size that is certain: data whose announced size may be a mistake
    /// is read to its end, and that tells.
    ///
    /// # Errors
    /// `Full`, `NoRoom`.
    fn check_room(&self, _size: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Starts to write an object. `size` is the announced number of bytes, `None` or 0 when unknown; when it is known, a
    /// write beyond it fails with `SizeExceeded` and a commit before it with `SizeMismatch`.
    ///
    /// # Errors
    /// `AddDisabled`, `Duplicate` when the object exists, `Full` or `NoRoom` when the announced size cannot fit, `WriteDenied`,
    /// `Timeout`, `RemoteUnavailable`, `LeftBehind`, `BadLocation` for an id that cannot be a name in the store.
    fn begin<'a>(
        &'a self,
        context: &'a StoreContext,
        image_id: &'a str,
        size: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>>;

    /// Opens an object, or `range` of its bytes (clamped to its end), for reading.
    ///
    /// # Errors
    /// `NotFound`, `BadLocation`, `RemoteUnavailable`, `Timeout`; `Unsupported` for a range where `can_seek` is false.
    fn open<'a>(
        &'a self,
        context: &'a StoreContext,
        location: &'a Location,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<Reader, StoreError>>;

    /// The object's size in bytes; 0 when a remote server does not tell.
    ///
    /// # Errors
    /// As `open`.
    fn size<'a>(&'a self, context: &'a StoreContext, location: &'a Location) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// What tells that two locations lead to one object, where objects have several URLs. `None` where the URL alone tells, or where there
    /// is no object.
    ///
    /// # Errors
    /// `BadLocation`, `RemoteUnavailable`, `Timeout`, `Io`.
    fn identity<'a>(&'a self, _location: &'a Location) -> BoxFuture<'a, Result<Option<ObjectIdentity>, StoreError>> {
        async { Ok(None) }.boxed()
    }

    /// Whether `delete` would be refused because somebody else uses the object: asked before an image goes for good. An object
    /// that is not there may be deleted.
    ///
    /// # Errors
    /// `InUse`, `HasSnapshot`, `RemoteUnavailable`, `WriteDenied`, `Io`.
    fn check_unused<'a>(
        &'a self,
        _context: &'a StoreContext,
        _location: &'a Location,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }

    /// Removes an object, or what a write that did not end well has left of one.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Unsupported` for a read-only store; `DeleteDenied`, `WriteDenied`, `InUse`, `HasSnapshot`,
    /// `Io` when the object is as it was; `Timeout`, `RemoteUnavailable`, `LeftBehind` when it may be gone, wholly or in part.
    fn delete<'a>(&'a self, context: &'a StoreContext, location: &'a Location)
    -> BoxFuture<'a, Result<(), StoreError>>;
}

/// An object that is being written. Nobody can read anything of it before `commit` has returned; a writer that is dropped, at
/// any point, removes what it has written.
pub trait Writer: Send {
    /// Takes more data, waiting while too much of it is not yet written. An error may concern earlier data, and ends the
    /// write: what was written is removed. When the future is dropped before its end, the data was not taken.
    ///
    /// # Errors
    /// `Full`, `WriteDenied`, `SizeExceeded`, `RemoteUnavailable`, `Io`; `LeftBehind` when what was written could not be
    /// removed.
    fn write(&mut self, data: Bytes) -> BoxFuture<'_, Result<(), StoreError>>;

    /// A hint that nothing more may come for a while: what was taken is written soon, so that a client that stalls holds little
    /// memory.
    fn flush(&mut self) {}

    /// Makes the object durable and visible; both hold when it returns. When the future is dropped before its end, the
    /// object is removed.
    ///
    /// # Errors
    /// Those of `write`, `SizeMismatch`, and `Duplicate` when somebody else made the object in the meantime.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Stored, StoreError>>;

    /// Removes what was written, and has done so when it returns.
    ///
    /// # Errors
    /// `LeftBehind`.
    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// Names that can only be an entry of a directory or pool itself, and none of those that stores give to things in the making.
pub(super) fn is_name(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=200).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(plain)
}

/// Data that is durably in a store.
#[derive(Clone, PartialEq)]
pub struct Stored {
    /// The location's URL, for the database. May hold credentials.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// The location's metadata; a multi-store cloud has the store's id in it under `store`.
    pub metadata: Map<String, Value>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("size", &self.size).field("metadata", &self.metadata).finish_non_exhaustive()
    }
}
