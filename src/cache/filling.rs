//! The course of a fill, from the first reader's request to the image in the cache.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;

use super::blocking::blocking;
use super::error::Error;
use super::fill::{Expected, Failure, Fill, Followed, Progress, Room, WriteError, follow, write};
use super::index::Entry;
use super::inner::Inner;
use super::layout::{Begun, Layout};
use super::stats::add;
use crate::identity::Context;
use crate::image::{Image, Images};

/// How often it is tried to write or to follow, where writers come and go at the same time.
const ATTEMPTS: u32 = 50;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);

/// How often it is looked whether other processes still follow a fill that nobody of this process reads.
const FOLLOWERS_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are set aside at a time for an image whose size nobody knows.
const GROWTH: u64 = 64 * 1024 * 1024;

/// An image that is wanted, and on whose behalf the store gives it. Cheap to clone.
#[derive(Clone)]
pub(super) struct FillRequest {
    pub(super) images: Images,
    /// `None`: the service itself.
    pub(super) caller: Option<Arc<Context>>,
    pub(super) image: Arc<Image>,
}

/// A fill in the list of those that go on. However its task ends, it is taken off and its readers are told.
struct Registered {
    inner: Arc<Inner>,
    id: String,
    fill: Arc<Fill>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if !self.fill.has_ended() {
            self.fill.tell(Progress::Failed(Failure::Abandoned));
        }
        self.inner.fills.end(&self.id, &self.fill);
    }
}

/// Joins the fill of an image, or begins one. It goes on in a task of its own, for which the end of the process waits as long as
/// somebody on this host reads behind it.
pub(super) fn join(inner: &Arc<Inner>, request: &FillRequest) -> watch::Receiver<Progress> {
    let id = &request.image.id;
    let (progress, begun) = inner.fills.find_or_begin(id, Fill::listen);
    if let Some(fill) = begun {
        let registered = Registered { inner: Arc::clone(inner), id: id.clone(), fill };
        request.images.spawn_work(run(registered, request.clone()));
    }
    progress
}

impl Inner {
    /// Asks to write an image, and sets aside the room that it needs. `None`: there is no room.
    ///
    /// # Errors
    /// Those of the directory.
    pub(super) async fn begin(&self, id: &str, size: Option<u64>) -> Result<Option<Begun>, Error> {
        let (layout, name) = (self.layout.clone(), id.to_owned());
        let begun = blocking(move || layout.begin(&name)).await?;
        let Begun::Write(file) = begun else { return Ok(Some(begun)) };
        let reserved = self.reserve(&file, 0, size.unwrap_or(0)).await;
        if !matches!(reserved, Ok(true)) {
            abandon(self, id, file).await;
            return reserved.map(|_| None);
        }
        Ok(Some(Begun::Write(file)))
    }
}

async fn run(registered: Registered, request: FillRequest) {
    let Registered { inner, id, fill } = &registered;
    let expected = Expected::of(&request.image);
    for _ in 0..ATTEMPTS {
        match inner.begin(id, expected.size).await {
            Ok(None) => return tracing::debug!(image_id = id, "no room in the image cache"),
            Ok(Some(Begun::Cached(file))) => {
                let size = file.metadata().map(|metadata| metadata.len());
                match size {
                    Ok(size) if expected.size.is_none_or(|wanted| wanted == size) => {
                        fill.tell(Progress::Whole { file, size });
                    }
                    _ => {}
                }
                return;
            }
            Ok(Some(Begun::Follow(file))) => loop {
                match follow(fill, &inner.layout, id, &file).await {
                    Followed::Ended => return,
                    Followed::Gone => break,
                    Followed::Unread if inner.fills.end_unread(id, fill) => return,
                    Followed::Unread => {}
                }
            },
            Ok(Some(Begun::Wait)) => {}
            Ok(Some(Begun::Write(file))) => return fill_from_store(&registered, &request, &expected, file).await,
            Err(error) => return inner.warn(id, &error),
        }
        sleep(ATTEMPT_PAUSE).await;
    }
}

async fn fill_from_store(registered: &Registered, request: &FillRequest, expected: &Expected, file: Arc<File>) {
    let Registered { inner, id, fill } = registered;
    let data = match request.images.open(request.caller.as_ref(), &request.image, None).await {
        Ok(reader) => reader.into_stream(),
        Err(error) => {
            tracing::debug!(image_id = id, %error, "the store does not give an image to the cache");
            return abandon(inner, id, file).await;
        }
    };
    let room = Growing { inner, file: &file };
    let reserved = expected.size.unwrap_or(0);
    let written = tokio::select! {
        written = write(fill, &file, data, expected, reserved, &room) => Some(written),
        () = unread(registered, &file) => None,
    };
    let size = match written {
        Some(Ok(size)) => size,
        None => {
            tracing::debug!(image_id = id, "nobody reads an image any more that was on its way into the cache");
            return abandon(inner, id, file).await;
        }
        Some(Err(error)) => {
            add(&inner.counters.failed_fills, 1);
            return failed(registered, file, error).await;
        }
    };
    // Those who read it need not wait for the disk. If the image does not come into the cache after all, its data is right still.
    fill.tell(Progress::Whole { file: Arc::clone(&file), size });
    match commit(inner, id, &file, size).await {
        Ok(()) => {
            add(&inner.counters.fills, 1);
            add(&inner.counters.bytes_filled, size);
        }
        Err(error) => {
            add(&inner.counters.failed_fills, 1);
            inner.warn(id, &error);
            abandon(inner, id, file).await;
        }
    }
}

/// Waits until nobody on this host reads any more, and takes no more readers then.
async fn unread(registered: &Registered, file: &Arc<File>) {
    let Registered { inner, id, fill } = registered;
    loop {
        fill.unread().await;
        if inner.options.completes
            && let Ok(_unread) = inner.unread_fills.try_acquire()
        {
            // It goes on all the same, but keeps no process that is to end.
            inner.stopping.cancelled().await;
        }
        if close_to_followers(file).await {
            if inner.fills.end_unread(id, fill) {
                return;
            }
            Layout::open_to_followers(file);
        }
        sleep(FOLLOWERS_PAUSE).await;
    }
}

async fn close_to_followers(file: &Arc<File>) -> bool {
    let file = Arc::clone(file);
    blocking(move || Ok(Layout::close_to_followers(&file))).await.unwrap_or(false)
}

/// Room for an image whose size nobody knows.
pub(super) struct Growing<'a> {
    inner: &'a Inner,
    file: &'a Arc<File>,
}

#[cfg(test)]
impl<'a> Growing<'a> {
    pub(super) fn for_tests(inner: &'a Inner, file: &'a Arc<File>) -> Self {
        Self { inner, file }
    }
}

impl Room for Growing<'_> {
    fn grow(&self, reserved: u64, needed: u64) -> BoxFuture<'_, io::Result<Option<u64>>> {
        async move {
            let options = &self.inner.options;
            if !options.is_enforced {
                return Ok(Some(u64::MAX));
            }
            // Near the size of the cache no more than is needed.
            let wanted = reserved.saturating_add(GROWTH).min(options.max_size).max(needed);
            match self.inner.reserve(self.file, reserved, wanted - reserved).await {
                Ok(has_room) => Ok(has_room.then_some(wanted)),
                Err(Error::Directory(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            }
        }
        .boxed()
    }
}

async fn failed(registered: &Registered, file: Arc<File>, error: WriteError) {
    let Registered { inner, id, fill } = registered;
    match error {
        WriteError::Invalid => {
            tracing::error!(image_id = id, "Checksum verification failed. Aborted caching of image '{id}'.");
            let (layout, name) = (inner.layout.clone(), id.clone());
            let moved = blocking(move || layout.invalidate_incomplete(&name, &file)).await;
            if let Err(error) = moved {
                inner.warn(id, &error);
            }
            fill.tell(Progress::Failed(Failure::Invalid));
            return;
        }
        WriteError::Disk(_) => inner.warn(id, &error),
        _ => tracing::warn!(image_id = id, %error, "an image does not come into the cache"),
    }
    abandon(inner, id, file).await;
}

/// The image is in the cache, and the index knows, when this returns.
async fn commit(inner: &Arc<Inner>, id: &str, file: &Arc<File>, size: u64) -> Result<(), Error> {
    let (cache, name, whole) = (Arc::clone(inner), id.to_owned(), Arc::clone(file));
    let committed = blocking(move || {
        Layout::mark_verified(&whole);
        // Gives back what was set aside and not needed.
        whole.set_len(size)?;
        // Its file is marked first, as upstream does: a crash right after leaves nothing that upstream could not read.
        cache.index.mark(&whole)?;
        cache.layout.commit(&name, &whole)
    });
    committed.await?;
    if let Err(error) = inner.index.insert(Entry::new(id, size, OffsetDateTime::now_utc())).await {
        // It can be served all the same, and is taken up later.
        tracing::warn!(image_id = id, %error, "a cached image is missing in the index for now");
    }
    Ok(())
}

async fn abandon(inner: &Inner, id: &str, file: Arc<File>) {
    let (layout, name) = (inner.layout.clone(), id.to_owned());
    if let Err(error) = blocking(move || layout.abandon(&name, &file)).await {
        inner.warn(id, &error);
    }
}
