//! The course of a fill, from the first reader's request to the image in the cache.

mod persistence;

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt as _, empty};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::blocking::blocking;
use super::error::Error;
use super::eviction::Claim;
use super::fill::{Bounds, Expected, Fill, Followed, PATIENCE, Progress, Room, WriteError, follow, write, write_on};
use super::index::Entry;
use super::inner::Inner;
use super::layout::{Begun, CommitError, Layout, Left};
use super::life::alive;
use super::request::FillRequest;
use super::stats::add;
use crate::image;
use crate::store::{OpenFile, StoreError};

use persistence::persist;

/// How often it is tried to write or to follow, where writers come and go at the same time.
const ATTEMPTS: u32 = 50;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);

/// How often it is looked whether other processes still follow a fill that nobody of this process reads.
const FOLLOWERS_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are set aside at a time, where they are free, for an image whose size nobody knows.
const GROWTH: u64 = 64 * 1024 * 1024;

/// A fill in this process's list of those under way. However its task ends, it is taken off the list and its readers are told.
struct Registered {
    inner: Arc<Inner>,
    id: String,
    fill: Arc<Fill>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if !self.fill.has_ended() {
            self.fill.abandon();
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
        inner.work.spawn(run(registered, request.clone()));
    }
    progress
}

async fn run(registered: Registered, request: FillRequest) {
    let Registered { inner, id, fill } = &registered;
    let expected = Expected::of(&request.image);
    for _ in 0..ATTEMPTS {
        let (layout, name) = (inner.layout.clone(), id.clone());
        match blocking(move || layout.begin(&name)).await {
            Ok(Begun::Cached { file, size }) => {
                if expected.size.is_none_or(|wanted| wanted == size) {
                    fill.tell(Progress::Whole { file, size });
                }
                return;
            }
            Ok(Begun::Follow(file)) => loop {
                match follow(fill, &inner.layout, id, &file, Bounds::USUAL).await {
                    Followed::Ended => return,
                    Followed::Gone => break,
                    Followed::Ours(left) => return bring_in(&registered, &request, &expected, file, left).await,
                    Followed::Unread if inner.fills.end_unread(id, fill) => return,
                    Followed::Unread => {}
                }
            },
            Ok(Begun::Wait) => {}
            Ok(Begun::Foreign(error)) => return inner.warn_of_file(id, &error),
            Ok(Begun::Write(file)) => {
                return bring_in(&registered, &request, &expected, file, Left::default()).await;
            }
            Err(error) => return inner.warn(id, &error),
        }
        sleep(ATTEMPT_PAUSE).await;
    }
}

/// Why an image does not come into the cache.
#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error("nobody reads it any more")]
    Unread,
    #[error("there is no room")]
    NoRoom,
    #[error("making room: {0}")]
    Room(#[source] Error),
    #[error("the store does not give it: {0}")]
    Store(#[source] image::Error),
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("{0}")]
    Commit(#[from] CommitError),
    #[error("the work on it panicked")]
    Panicked,
}

impl FillError {
    /// Whether another attempt may go better. `has_begun`: readers may have got some of the image. Else each of them is told by the
    /// store itself why there is none, as without a cache.
    fn may_pass(&self, has_begun: bool) -> bool {
        match self {
            Self::Write(WriteError::Store(_) | WriteError::Digest(_)) | Self::Panicked => has_begun,
            Self::Store(error) => has_begun && !matches!(error, image::Error::Store(StoreError::NotFound { .. })),
            Self::Unread | Self::NoRoom | Self::Room(_) | Self::Commit(_) => false,
            Self::Write(WriteError::Disk(_) | WriteError::NoRoom | WriteError::Invalid) => false,
        }
    }

    /// Whether the store has no more of the image than it gave.
    fn is_end_of_data(&self) -> bool {
        matches!(self, Self::Write(WriteError::Store(error)) if error.kind() == io::ErrorKind::UnexpectedEof)
    }
}

/// Brings an image into the cache, in an incomplete file that is ours, behind what a dead writer has left in it.
async fn bring_in(
    registered: &Registered,
    request: &FillRequest,
    expected: &Expected,
    file: Arc<OpenFile>,
    left: Left,
) {
    let Registered { inner, id, fill } = registered;
    let reading = persist(&inner.layout, id, &file, left, |left| {
        Box::pin(read_while_wanted(registered, request, expected, &file, left))
    });
    let filling = async {
        let size = reading.await?;
        tell_end(fill, &file, size, commit(inner, id, &file, size)).await?;
        Ok::<_, FillError>(size)
    };
    match alive(&file, filling).await {
        Ok(size) => {
            add(&inner.counters.fills, 1);
            add(&inner.counters.bytes_filled, size);
        }
        Err(failed) => {
            if matches!(failed, FillError::Write(_) | FillError::Commit(_) | FillError::Panicked) {
                add(&inner.counters.failed_fills, 1);
            }
            give_back(registered, file, failed).await;
        }
    }
}

/// Tells readers of the end of an image that was found right, when it is in the cache, or a little later where that takes long.
async fn tell_end(
    fill: &Fill,
    file: &Arc<OpenFile>,
    size: u64,
    committing: impl Future<Output = Result<(), CommitError>>,
) -> Result<(), FillError> {
    let mut committing = pin!(AssertUnwindSafe(committing).catch_unwind());
    let committed = match timeout(PATIENCE, &mut committing).await {
        Ok(committed) => committed,
        Err(_) => {
            fill.tell(Progress::Verified { file: Arc::clone(file), size });
            committing.await
        }
    };
    fill.tell(match &committed {
        // What could not be written to the disk may not be what is read from it.
        Ok(Err(CommitError::NotDurable(_))) => Progress::Abandoned(None),
        // If the image does not come into the cache after all, its data is right still.
        _ => Progress::Whole { file: Arc::clone(file), size },
    });
    Ok(committed.map_err(|_| FillError::Panicked)??)
}

/// Reads an image from its store into the file as long as anybody on this host reads behind it; its size.
async fn read_while_wanted(
    registered: &Registered,
    request: &FillRequest,
    expected: &Expected,
    file: &Arc<OpenFile>,
    left: Left,
) -> Result<u64, FillError> {
    let mut reading = pin!(read_from_store(registered, request, expected, file, left));
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            read = &mut reading => return read,
            () = unread(registered, pause) => {}
        }
        // Not beside the reading: where that ended first, followers would be kept out by a lock that nobody takes away.
        if close(registered, file).await {
            return Err(FillError::Unread);
        }
        pause = FOLLOWERS_PAUSE;
    }
}

async fn read_from_store(
    registered: &Registered,
    request: &FillRequest,
    expected: &Expected,
    file: &Arc<OpenFile>,
    left: Left,
) -> Result<u64, FillError> {
    let Registered { inner, fill, .. } = registered;
    let Left { written, taken } = left;
    let missing = expected.size.unwrap_or(0).saturating_sub(taken);
    let mut reserved = taken;
    if missing > 0 || taken == 0 {
        let claim = Claim { place: Some((Arc::clone(file), taken)), least: missing, most: missing };
        reserved += inner.reserve(claim).await.map_err(FillError::Room)?.ok_or(FillError::NoRoom)?;
    }
    let is_all = expected.size.is_some_and(|size| written >= size);
    let data = match is_all {
        true => empty().boxed(),
        false => request.open(written, expected.size, Some(file)).await.map_err(FillError::Store)?,
    };
    let room = Growing { inner, file };
    Ok(match written {
        0 => write(fill, file, data, expected, reserved, &room).await?,
        _ => write_on(fill, file, written, data, expected, reserved, &room).await?,
    })
}

/// Waits until nobody in this process reads any more, and the fill is not one of those that go on all the same.
async fn unread(registered: &Registered, pause: Duration) {
    let Registered { inner, fill, .. } = registered;
    sleep(pause).await;
    fill.unread().await;
    if inner.options.completes
        && let Ok(_permit) = inner.unread_fills.try_acquire()
    {
        // It keeps no process that is to end.
        inner.stopping.cancelled().await;
    }
}

/// Takes no more readers, in this process or another. False: there is one.
async fn close(registered: &Registered, file: &Arc<OpenFile>) -> bool {
    let Registered { inner, id, fill } = registered;
    let own = Arc::clone(file);
    if !blocking(move || Ok(Layout::close_to_followers(&own))).await.unwrap_or(false) {
        return false;
    }
    if inner.fills.end_unread(id, fill) {
        return true;
    }
    let own = Arc::clone(file);
    // Where no thread can be had, followers wait and go to the store.
    let _ = blocking(move || {
        Layout::unlock_followed(&own);
        Ok(())
    })
    .await;
    false
}

/// Room for an image whose size nobody knows.
pub(super) struct Growing<'a> {
    inner: &'a Arc<Inner>,
    file: &'a Arc<OpenFile>,
}

#[cfg(test)]
impl<'a> Growing<'a> {
    pub(super) fn for_tests(inner: &'a Arc<Inner>, file: &'a Arc<OpenFile>) -> Self {
        Self { inner, file }
    }
}

impl Room for Growing<'_> {
    fn grow(&self, reserved: u64, needed: u64) -> BoxFuture<'_, io::Result<Option<u64>>> {
        async move {
            if !self.inner.options.is_enforced {
                return Ok(Some(u64::MAX));
            }
            let least = needed.saturating_sub(reserved);
            let claim = Claim { place: Some((Arc::clone(self.file), reserved)), least, most: GROWTH.max(least) };
            match self.inner.reserve(claim).await {
                Ok(taken) => Ok(taken.map(|taken| reserved.saturating_add(taken))),
                Err(Error::Directory(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            }
        }
        .boxed()
    }
}

/// The image is in the cache, and the index knows, when this returns.
async fn commit(inner: &Arc<Inner>, id: &str, file: &Arc<OpenFile>, size: u64) -> Result<(), CommitError> {
    let (cache, name, whole) = (Arc::clone(inner), id.to_owned(), Arc::clone(file));
    let committed = blocking(move || {
        Layout::mark_verified(&whole);
        // Gives back what was set aside and not needed.
        whole.set_len(size)?;
        // Its file is marked first, as upstream does: a crash right after leaves nothing that upstream could not read.
        cache.index.mark(&whole)?;
        Ok(cache.layout.commit(&name, &whole))
    });
    committed.await??;
    if let Err(error) = inner.take_up(Entry::new(id, size, OffsetDateTime::now_utc())).await {
        // It can be served all the same, and is taken up later.
        inner.warn_of_index(&error);
    }
    Ok(())
}

/// Gives up an incomplete file that is ours.
async fn give_back(registered: &Registered, file: Arc<OpenFile>, failed: FillError) {
    let Registered { inner, id, fill } = registered;
    let is_invalid = matches!(failed, FillError::Write(WriteError::Invalid));
    let is_refused = matches!(failed, FillError::Commit(CommitError::NotDurable(_)));
    match &failed {
        FillError::Write(WriteError::Invalid) => {
            tracing::error!(image_id = id, "Checksum verification failed. Aborted caching of image '{id}'.");
        }
        FillError::Room(error) => inner.warn(id, error),
        FillError::Write(WriteError::Disk(_))
        | FillError::Commit(CommitError::Directory(_) | CommitError::NotDurable(_)) => inner.warn(id, &failed),
        FillError::Write(WriteError::Store(_) | WriteError::Digest(_)) | FillError::Panicked => {
            tracing::warn!(image_id = id, error = %failed, "an image does not come into the cache")
        }
        FillError::Unread
        | FillError::NoRoom
        | FillError::Store(_)
        | FillError::Write(WriteError::NoRoom)
        | FillError::Commit(CommitError::Removed) => {
            tracing::debug!(image_id = id, reason = %failed, "an image does not come into the cache");
        }
    }
    if !is_invalid && !fill.has_ended() {
        // Before the file is removed, so that its last descriptor is closed where that may take time.
        fill.abandon();
    }
    let (layout, name) = (inner.layout.clone(), id.clone());
    let given_back = blocking(move || match (is_invalid, is_refused) {
        (true, _) => layout.invalidate_incomplete(&name, &file),
        (false, true) => layout.abandon_refused(&name, &file),
        (false, false) => layout.abandon(&name, &file),
    });
    if let Err(error) = given_back.await {
        inner.warn(id, &error);
    }
    if is_invalid {
        fill.tell(Progress::Invalid);
    }
}

#[cfg(test)]
mod tests;
