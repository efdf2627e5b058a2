//! Images as block devices in Ceph, laid out as upstream does: an image of the pool with the Glance image's id for its name,
//! and of it the protected snapshot `snap`, which others clone.
//!
//! Upstream: `glance_store/_drivers/rbd.py`. What blocks in Ceph's libraries runs on threads of the store; data goes in and out
//! by operations that wait on none.

mod cluster;
mod dropped_on_pool;
mod location;
mod options;
mod reader;
mod recording;
mod removal;

use std::ops::Range;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::driver::{Driver, Setup, Store, Writer, is_name};
use super::pool::Pools;
use super::writer::StrandWriter;
use super::{Capability, Location, ObjectIdentity, Priority, Reader, StoreContext, StoreError};
use crate::config::StoreKind;
use crate::config::option::Options as _;
use crate::sys::ceph::{CephPool, Image};
use cluster::{Access, Connection, Link};
use dropped_on_pool::DroppedOnPool;
use location::Address;
use options::RbdOptions;
use reader::Source;
use recording::{ImageAddress, Recording};

/// The snapshot that makes an image whole.
const SNAPSHOT: &str = "snap";

/// Threads for operations that block: one waits for the cluster most of its time.
const THREADS: usize = 16;

/// Mebibytes of librbd's largest objects.
const LARGEST_CHUNK: u64 = 32;

/// Threads that write data.
const WRITERS: usize = 16;

pub(super) const DRIVER: Driver = Driver {
    kind: StoreKind {
        name: "rbd",
        old_name: "glance.store.rbd.Store",
        schemes: &["rbd"],
        is_read_only: false,
        options: RbdOptions::OPTIONS,
        sections: &[],
        folder: None,
        unverified: |_| None,
    },
    private_schemes: &[],
    is_filtered: false,
    is_open_to_users: false,
    make: Some(|setup| {
        let Setup { name, id, options, only_checks, .. } = *setup;
        let make = if only_checks { RbdStore::unconnected } else { RbdStore::open };
        Ok(Arc::new(make(name, id, &options.read())?))
    }),
    lasts: Some(|options| cluster::files(&options.read())),
    make_disabled: None,
};

/// A store in a pool of a Ceph cluster.
struct RbdStore {
    inner: Arc<Inner>,
    link: Arc<Link>,
}

struct Inner {
    /// What logs call it.
    name: String,
    /// The id recorded in locations; `None` in single-store mode.
    id: Option<String>,
    /// Ceph's pool.
    pool: String,
    /// Bytes of an image's objects.
    chunk: u64,
    thin: bool,
    /// Short operations.
    threads: Pools,
    /// Writes of data.
    data: Pools,
}

impl RbdStore {
    /// As [`Self::unconnected`], and starts to connect; waits for no cluster.
    ///
    /// # Errors
    /// `Configuration`, with words for the operator.
    fn open(name: &str, id: Option<&str>, options: &RbdOptions) -> Result<Self, StoreError> {
        let store = Self::unconnected(name, id, options)?;
        store.link.begin();
        Ok(store)
    }

    /// Loads Ceph's libraries and reads ceph.conf. Blocks on the file system.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn unconnected(name: &str, id: Option<&str>, options: &RbdOptions) -> Result<Self, StoreError> {
        let wrong = |reason| StoreError::Configuration { store: name.to_owned(), reason };
        let mebibytes = u64::try_from(options.rbd_store_chunk_size).unwrap_or(0).max(1);
        if mebibytes > LARGEST_CHUNK {
            return Err(wrong(format!("rbd_store_chunk_size: Ceph's objects have at most {LARGEST_CHUNK} MiB")));
        }
        let threads = Pools::new("glance-rbd", THREADS);
        let link = Link::new(name, Access::new(options), Arc::clone(threads.of(Priority::Request))).map_err(wrong)?;
        let inner = Inner {
            name: name.to_owned(),
            id: id.map(str::to_owned),
            pool: options.rbd_store_pool.clone(),
            chunk: mebibytes.saturating_mul(1024 * 1024),
            thin: options.rbd_thin_provisioning,
            threads,
            data: Pools::new("glance-rbd-w", WRITERS),
        };
        Ok(Self { inner: Arc::new(inner), link })
    }

    /// The id of the cluster. Waits for the cluster only where ceph.conf does not name it and it was never reached.
    ///
    /// # Errors
    /// `RemoteUnavailable`
    async fn fsid(&self) -> Result<String, StoreError> {
        match self.link.fsid() {
            Some(fsid) => Ok(fsid.to_owned()),
            None => Ok(self.link.connection().await?.fsid.clone()),
        }
    }

    /// Runs an operation that blocks on the store's threads; once more, when it finds that the connection is lost.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl Fn(&Inner, &Arc<Connection>) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut again = true;
        loop {
            let connection = self.link.connection().await?;
            let (operation, inner, used) = (operation.clone(), Arc::clone(&self.inner), Arc::clone(&connection));
            let outcome = self
                .inner
                .threads
                .of(Priority::Request)
                .run(move || used.check().and_then(|()| operation(&inner, &used)))
                .await;
            let outcome = outcome.unwrap_or_else(|error| Err(StoreError::without_thread(error)));
            let is_final = matches!(outcome, Ok(_) | Err(StoreError::LeftBehind(_)));
            if is_final || !connection.is_lost() || !std::mem::take(&mut again) {
                return outcome;
            }
        }
    }

    /// Runs an operation on what a location names.
    async fn run_at<T: Send + 'static>(
        &self,
        location: &Location,
        operation: impl Fn(&Inner, &Arc<Connection>, &Arc<CephPool>, &Address) -> Result<T, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        let address = Arc::new(Address::parse(location.url())?);
        self.run(move |inner, connection| {
            let pool = connection.pool(address.pool.as_ref().unwrap_or(&inner.pool))?;
            operation(inner, connection, &pool, &address)
        })
        .await
    }
}

impl Store for RbdStore {
    fn can_add(&self) -> bool {
        true
    }

    fn can_seek(&self) -> bool {
        false
    }

    fn owns(&self, url: &str) -> bool {
        // As long as nobody knows which cluster this is, the pool of that name may be another's.
        self.link.fsid().is_some_and(|fsid| url.starts_with(&location::prefix(fsid, &self.inner.pool)))
    }

    fn candidates<'a>(&'a self, image_id: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async move {
            if !is_name(image_id) {
                return Ok(Vec::new());
            }
            Ok(vec![location::url(&self.fsid().await?, &self.inner.pool, image_id, SNAPSHOT)])
        }
        .boxed()
    }

    /// Without its snapshot, and in the store's cluster whichever the URL names: so is it read, too.
    fn identity<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<Option<ObjectIdentity>, StoreError>> {
        async move {
            let address = Address::parse(location.url())?;
            let fsid = self.fsid().await?;
            let pool = address.pool.as_ref().unwrap_or(&self.inner.pool);
            Ok(Some(ObjectIdentity::Name(location::url(&fsid, pool, &address.image, SNAPSHOT))))
        }
        .boxed()
    }

    fn properties(&self) -> Map<String, Value> {
        Map::from_iter([
            ("chunk_size".to_owned(), self.inner.chunk.into()),
            ("pool".to_owned(), self.inner.pool.as_str().into()),
            ("thin_provisioning".to_owned(), self.inner.thin.into()),
            ("fsid".to_owned(), self.link.fsid().into()),
        ])
    }

    fn begin<'a>(
        &'a self,
        context: &'a StoreContext,
        image_id: &'a str,
        size: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        async move {
            if !is_name(image_id) {
                return Err(StoreError::BadLocation { reason: "Image id is not a name for Ceph".to_owned() });
            }
            let (name, context) = (image_id.to_owned(), context.clone());
            let begin = move |inner: &Inner, connection: &Arc<Connection>| {
                inner.begin(connection, &name, size.unwrap_or(0), &context)
            };
            let begun = self.run(begin).await;
            begun.map(|writer| Box::new(writer) as Box<dyn Writer>)
        }
        .boxed()
    }

    fn open<'a>(
        &'a self,
        context: &'a StoreContext,
        location: &'a Location,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<Reader, StoreError>> {
        async move {
            if let Some(range) = range {
                let store = self.inner.name.clone();
                return Err(StoreError::Unsupported { store, capability: Capability::of_range(&range) });
            }
            let priority = context.priority;
            let opened = self.run_at(location, move |inner, connection, pool, address| {
                let image = open(connection, pool, address)?;
                let size = image.size().map_err(|error| reading(connection, address, error))?;
                // Threads have the priority of the one that makes them, and this may be the reader's.
                let threads = inner.threads.of(priority);
                let source = Source {
                    image: DroppedOnPool::new(image, threads),
                    pool: DroppedOnPool::new(Arc::clone(pool), threads),
                    name: address.image.clone(),
                    snapshot: address.snapshot.clone(),
                    threads: Arc::clone(threads),
                };
                Ok(reader::stream(source, size))
            });
            Ok(Reader::Stream(Box::pin(opened.await?)))
        }
        .boxed()
    }

    fn size<'a>(
        &'a self,
        _context: &'a StoreContext,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.run_at(location, |_, connection, pool, address| {
            let image = open(connection, pool, address)?;
            image.size().map_err(|error| reading(connection, address, error))
        })
        .boxed()
    }

    fn check_unused<'a>(
        &'a self,
        _context: &'a StoreContext,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.run_at(location, |_, connection, pool, address| {
            removal::check_unused(connection, pool, &address.image, address.snapshot.as_deref())
        })
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        context: &'a StoreContext,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let kept = context.kept.clone();
        self.run_at(location, move |_, connection, pool, address| {
            let _until_removed = &kept;
            removal::remove(connection, pool, &address.image, address.snapshot.as_deref())
        })
        .boxed()
    }
}

impl Inner {
    fn begin(
        &self,
        connection: &Arc<Connection>,
        name: &str,
        size: u64,
        context: &StoreContext,
    ) -> Result<StrandWriter<Recording>, StoreError> {
        let fault = |error| connection.writing(format!("creating the image {name}"), error);
        let pool = connection.pool(&self.pool)?;
        pool.create(name, Recording::first_room(size), connection.features, self.chunk.ilog2()).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::EEXIST) => StoreError::Duplicate { image: name.to_owned() },
                // It may be there all the same.
                Some(libc::ETIMEDOUT) => StoreError::LeftBehind(Box::new(fault(error))),
                _ => fault(error),
            }
        })?;
        let opened = pool.open(name).and_then(|image| {
            let id = image.id()?;
            Ok((image, id))
        });
        // Ceph removes none that has a snapshot, as another host's finished image of that name would.
        let (image, id) = opened.map_err(|error| match pool.remove(name) {
            Ok(()) => fault(error),
            Err(_) => StoreError::LeftBehind(Box::new(fault(error))),
        })?;
        let url = location::url(&connection.fsid, &self.pool, name, SNAPSHOT);
        let metadata = self.id.iter().map(|id| ("store".to_owned(), id.as_str().into())).collect();
        let (connection, threads) = (Arc::clone(connection), Arc::clone(self.data.of(context.priority)));
        let target = ImageAddress { connection, pool, name: name.to_owned(), id, threads: Arc::clone(&threads) };
        let recording = Recording::new(image, target, self.thin, size, self.chunk, context.kept.clone());
        Ok(StrandWriter::new(recording, threads, size, url, metadata))
    }
}

fn open(connection: &Connection, pool: &Arc<CephPool>, address: &Address) -> Result<Image, StoreError> {
    let opened = pool.open_read_only(&address.image, address.snapshot.as_deref());
    opened.map_err(|error| reading(connection, address, error))
}

fn reading(connection: &Connection, address: &Address, error: std::io::Error) -> StoreError {
    match error.raw_os_error() {
        Some(libc::ENOENT) => StoreError::NotFound { image: address.image.clone() },
        _ => connection.reading(format!("reading the image {}", address.image), error),
    }
}
