//! Images as files in directories, laid out as upstream does: `<directory>/<image id>`, `file:///<directory>/<image id>`.
//!
//! Upstream: `glance_store/_drivers/filesystem.py`. Unlike there, a file appears under its name only when it is complete
//! and durable.

mod directories;
mod draft;
mod metadata;
mod options;
mod publish;
mod reading;
mod recording;

use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::driver::{Driver, Setup, Store, Writer, is_name};
use super::pool::{Pool, Pools};
use super::writer::StrandWriter;
use super::{Location, ObjectIdentity, Reader, StoreContext, StoreError};
use crate::config::StoreKind;
use crate::config::option::Options as _;
use directories::{Directories, Directory};
use draft::{Draft, Kind};
use metadata::Metadata;
pub(super) use options::{FOLDER, FileOptions};
use reading::{identity, is_missing, open, reading};
use recording::{Progress, Recording};

/// Threads that write data; a disk gains nothing from more.
const WRITERS: usize = 16;

pub(super) const DRIVER: Driver = Driver {
    kind: StoreKind {
        name: "file",
        old_name: "glance.store.filesystem.Store",
        schemes: &["file", "filesystem"],
        is_read_only: false,
        options: FileOptions::OPTIONS,
        sections: &[],
        folder: Some(FOLDER),
        unverified: |_| None,
    },
    private_schemes: &["file", "filesystem"],
    is_filtered: false,
    is_open_to_users: false,
    make: Some(|setup| {
        let Setup { name, id, options, only_checks, .. } = *setup;
        let make = if only_checks { FileStore::unprepared } else { FileStore::open };
        Ok(Arc::new(make(name, id, &options.read())?))
    }),
    lasts: None,
    make_disabled: Some(|setup| Arc::new(FileStore::disabled(setup.name, setup.id, &setup.options.read()))),
};

/// A file store.
struct FileStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// What logs call it.
    name: String,
    /// The id recorded in locations; `None` in single-store mode.
    id: Option<String>,
    directories: Directories,
    metadata: Metadata,
    permissions: Option<u32>,
    thin: bool,
    /// Bytes.
    chunk: i64,
    writable: bool,
    /// For `filesystem_store_timeout`.
    timeout: Option<Duration>,
    busy_percent: usize,
    /// Short operations.
    files: Arc<Pool>,
    /// Writes of data.
    data: Pools,
}

impl FileStore {
    /// Makes the directories, checks by a file that images can be stored in them, and removes what writers that are no more have
    /// left there. Blocks on the file system.
    ///
    /// # Errors
    /// `Configuration`, with words for the operator.
    fn open(name: &str, id: Option<&str>, options: &FileOptions) -> Result<Self, StoreError> {
        let store = Self::unprepared(name, id, options)?;
        store.inner.prepare()?;
        Ok(store)
    }

    /// A store whose directories nobody has looked at yet. Reads the file of metadata.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn unprepared(name: &str, id: Option<&str>, options: &FileOptions) -> Result<Self, StoreError> {
        let wrong = |reason| StoreError::Configuration { store: name.to_owned(), reason };
        let permissions = permissions(options.filesystem_store_file_perm).map_err(wrong)?;
        let directories = Directories::parse(options).map_err(wrong)?;
        let metadata = options.filesystem_store_metadata_file.as_deref().filter(|path| !path.is_empty());
        let metadata = metadata.map(Metadata::read).transpose().map_err(wrong)?.unwrap_or_default();
        Ok(Self::new(name, id, options, directories, metadata, permissions, true))
    }

    /// A store whose options are bad: reads what locations name, and refuses the rest. So does upstream.
    fn disabled(name: &str, id: Option<&str>, options: &FileOptions) -> Self {
        let directories = Directories::parse(options).unwrap_or_else(|_| Directories::none());
        Self::new(name, id, options, directories, Metadata::default(), None, false)
    }

    fn new(
        name: &str,
        id: Option<&str>,
        options: &FileOptions,
        directories: Directories,
        metadata: Metadata,
        permissions: Option<u32>,
        writable: bool,
    ) -> Self {
        let seconds = u64::try_from(options.filesystem_store_timeout).unwrap_or(0);
        let threads = usize::try_from(options.filesystem_store_thread_pool_size).unwrap_or(1);
        Self {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                id: id.map(str::to_owned),
                directories,
                metadata,
                permissions,
                thin: options.filesystem_thin_provisioning,
                chunk: options.filesystem_store_chunk_size,
                writable,
                timeout: (seconds > 0).then(|| Duration::from_secs(seconds)),
                busy_percent: usize::try_from(options.filesystem_store_threadpool_threshold).unwrap_or(100),
                files: Pool::new("glance-file", threads),
                data: Pools::new("glance-write", WRITERS),
            }),
        }
    }

    /// Runs a short operation on the store's threads, under the store's timeout.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let run = self.inner.files.run(move || operation(&inner));
        let outcome = match self.inner.timeout {
            None => run.await,
            Some(after) => {
                let usage = self.inner.files.usage();
                if usage >= self.inner.busy_percent {
                    tracing::warn!(store = self.inner.name, usage, "the threads of the file store are busy");
                }
                tokio::time::timeout(after, run).await.map_err(|_| StoreError::Timeout { after })?
            }
        };
        outcome.unwrap_or_else(|error| Err(StoreError::without_thread(error)))
    }
}

impl Store for FileStore {
    fn can_add(&self) -> bool {
        self.inner.writable
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn owns(&self, url: &str) -> bool {
        let path = url.strip_prefix("file://");
        path.is_some_and(|path| self.inner.directories.all().any(|directory| directory.contains(path)))
    }

    fn candidates<'a>(&'a self, image_id: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let directories = self.inner.directories.all().filter(|_| is_name(image_id));
        let urls = directories.map(|directory| format!("file://{}", directory.entry(image_id))).collect();
        async { Ok(urls) }.boxed()
    }

    fn folder(&self) -> Option<&Path> {
        self.inner.directories.all().next().map(|directory| Path::new(&directory.path))
    }

    fn properties(&self) -> Map<String, Value> {
        let directory = self.folder().and_then(Path::to_str);
        Map::from_iter([
            ("data_dir".to_owned(), directory.into()),
            ("chunk_size".to_owned(), self.inner.chunk.into()),
            ("thin_provisioning".to_owned(), self.inner.thin.into()),
        ])
    }

    fn check_room(&self, size: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.run(move |inner| if inner.thin { Ok(()) } else { inner.directories.check_room(size) }).boxed()
    }

    fn begin<'a>(
        &'a self,
        context: &'a StoreContext,
        image_id: &'a str,
        size: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        async move {
            if !self.inner.writable {
                return Err(StoreError::AddDisabled { store: self.inner.name.clone() });
            }
            let (name, context) = (image_id.to_owned(), context.clone());
            let begun = self.run(move |inner| inner.begin(&name, size.unwrap_or(0), context)).await;
            if let Err(StoreError::WriteDenied { source }) = &begun {
                tracing::error!(
                    image_id,
                    store = self.inner.name,
                    error = %source,
                    "may not write into the directory of the store; under systemd it must be within StateDirectory= or \
                     ReadWritePaths="
                );
            }
            begun.map(|writer| Box::new(writer) as Box<dyn Writer>)
        }
        .boxed()
    }

    fn open<'a>(
        &'a self,
        _context: &'a StoreContext,
        location: &'a Location,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<Reader, StoreError>> {
        async move {
            let path = self.inner.path_of(location)?;
            self.run(move |_| open(&path, range).map(Reader::File)).await
        }
        .boxed()
    }

    fn size<'a>(
        &'a self,
        _context: &'a StoreContext,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            let path = self.inner.path_of(location)?;
            self.run(move |_| match std::fs::metadata(&path) {
                Ok(metadata) => Ok(metadata.len()),
                Err(error) => Err(reading("asking for the size of", &path, error)),
            })
            .await
        }
        .boxed()
    }

    fn identity<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<Option<ObjectIdentity>, StoreError>> {
        async move {
            let path = self.inner.path_of(location)?;
            self.run(move |_| Ok(identity(&path)?.map(ObjectIdentity::File))).await
        }
        .boxed()
    }

    fn sweep(&self) -> BoxFuture<'_, ()> {
        async move {
            let swept = self.run(|inner| {
                inner.sweep();
                Ok(())
            });
            if let Err(error) = swept.await {
                tracing::warn!(store = self.inner.name, %error, "looking for files of broken uploads takes long");
            }
        }
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        context: &'a StoreContext,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            if !self.inner.writable {
                let store = self.inner.name.clone();
                return Err(StoreError::Unsupported { store, capability: super::Capability::Delete });
            }
            let (path, kept) = (self.inner.path_of(location)?, context.kept.clone());
            self.run(move |inner| {
                let removed = inner.remove(path);
                drop(kept);
                removed
            })
            .await
        }
        .boxed()
    }
}

impl Inner {
    fn prepare(&self) -> Result<(), StoreError> {
        let option = self.directories.option();
        let wrong =
            |reason| StoreError::Configuration { store: self.name.clone(), reason: format!("{option}: {reason}") };
        self.directories.prepare(self.permissions).map_err(wrong)?;
        for directory in self.directories.all() {
            if directory.kind().map_err(wrong)?.is_none() {
                tracing::warn!(store = self.name, directory = %directory.path, "the directory's disk is full");
            }
        }
        self.sweep();
        Ok(())
    }

    /// Removes the drafts of writers that are no more. Takes as long for a million images as for one.
    fn sweep(&self) {
        for Directory { path, .. } in self.directories.all().filter(|_| self.writable) {
            match draft::remove_leftovers(Path::new(path)) {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(store = self.name, directory = %path, count, "removed files of broken uploads");
                }
                Err(error) => {
                    tracing::warn!(store = self.name, directory = %path, %error, "cannot look for files of broken uploads");
                }
            }
        }
    }

    fn remove(&self, path: String) -> Result<(), StoreError> {
        match std::fs::remove_file(&path) {
            Ok(()) => {
                // Else a crash of the machine could bring the file back when nobody knows of it any more.
                if let Err(error) = publish::sync_directory_of(Path::new(&path)) {
                    tracing::warn!(store = self.name, path, %error, "cannot make a deletion durable");
                }
                Ok(())
            }
            Err(error) if is_missing(&error) => Err(StoreError::NotFound { image: path }),
            Err(source) => Err(StoreError::DeleteDenied { image: path, source }),
        }
    }

    fn begin(&self, name: &str, size: u64, context: StoreContext) -> Result<StrandWriter<Recording>, StoreError> {
        if !is_name(name) {
            return Err(StoreError::BadLocation { reason: "Image id is not a file name".to_owned() });
        }
        let directory = self.directories.best(size)?;
        let path = directory.entry(name);
        if std::fs::metadata(&path).is_ok() {
            return Err(StoreError::Duplicate { image: path });
        }
        let place = Path::new(&directory.path);
        // A named draft works wherever anything does.
        let kind = directory.kind().ok().flatten().unwrap_or(Kind::Named);
        let draft = Draft::create(place, name, kind)
            .map_err(|source| StoreError::writing(|| format!("creating {path}"), source))?;
        let mut metadata = self.metadata.of(&path);
        if let Some(id) = &self.id {
            metadata.insert("store".to_owned(), id.as_str().into());
        }
        let pool = self.data.of(context.priority);
        let mut recording = Recording {
            draft: Some(draft),
            path,
            announced: size,
            thin: self.thin.then(|| usize::try_from(self.chunk).unwrap_or(0).clamp(4096, 1024 * 1024)),
            permissions: self.permissions,
            pool: Arc::clone(pool),
            progress: Progress::default(),
            kept: context.kept,
        };
        recording.prepare()?;
        let url = format!("file://{}", recording.path);
        Ok(StrandWriter::new(recording, Arc::clone(pool), size, url, metadata))
    }

    /// The path in a `file:` URL, taken apart as upstream does: not percent-decoded, without query and fragment.
    ///
    /// Rows may name directories that are no longer configured, so any path is good, but outside the configured
    /// directories none with `..` in it: nothing that wrote a location ever made one.
    fn path_of(&self, location: &Location) -> Result<String, StoreError> {
        let url = location.url();
        let Some(path) = url.strip_prefix("file://").or_else(|| url.strip_prefix("filesystem://")) else {
            return Err(StoreError::BadLocation {
                reason: "Location URI must start with one of the following schemas: file://, filesystem://".to_owned(),
            });
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim();
        if path.is_empty() {
            return Err(StoreError::BadLocation { reason: "No path specified in URI".to_owned() });
        }
        let inside = |rest: &str| !Path::new(rest).components().any(|part| part == Component::ParentDir);
        let mut directories = self.directories.all();
        let known = directories
            .any(|directory| directory.contains(path) && path.strip_prefix(&directory.path).is_some_and(inside));
        if path.contains('\0') || !(known || inside(path)) {
            return Err(StoreError::BadLocation { reason: "Invalid path in URI".to_owned() });
        }
        Ok(path.to_owned())
    }
}

/// `filesystem_store_file_perm`: decimal digits that are read as octal; zero or less leaves the mode alone.
fn permissions(option: i64) -> Result<Option<u32>, String> {
    if option <= 0 {
        return Ok(None);
    }
    let invalid = || "filesystem_store_file_perm: Invalid 'filesystem_store_file_perm' option.".to_owned();
    let mode = u32::from_str_radix(&option.to_string(), 8).map_err(|_| invalid())?;
    if mode > 0o7777 {
        return Err(invalid());
    }
    if mode & 0o400 == 0 {
        return Err(invalid() + " It would make the image file unreadable for the service itself.");
    }
    Ok(Some(mode))
}

#[cfg(test)]
mod tests;
