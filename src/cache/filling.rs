//! The course of a fill, from the first reader's wish to the image in the cache.

use std::fs::File;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;

use super::blocking::blocking;
use super::error::Error;
use super::fill::{Expected, Failure, Fill, Progress, WriteError, follow, write};
use super::index::Entry;
use super::inner::Inner;
use super::layout::Begun;
use super::stats::add;
use crate::identity::Context;
use crate::image::{Image, Images};

/// An image that is wanted, and on whose behalf the store gives it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) images: Images,
    /// `None`: the service itself.
    pub(super) caller: Option<Arc<Context>>,
    pub(super) image: Arc<Image>,
}

/// A fill in the list of those that go on. However its task ends, it is taken off and its readers are told.
struct Listed {
    inner: Arc<Inner>,
    id: String,
    fill: Arc<Fill>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        if !self.fill.has_ended() {
            self.fill.tell(Progress::Failed(Failure::GivenUp));
        }
        self.inner.fills.end(&self.id, &self.fill);
    }
}

/// Joins the fill of an image, or begins one. It goes on in a task of its own.
pub(super) fn join(inner: &Arc<Inner>, wanted: &Wanted) -> watch::Receiver<Progress> {
    let id = &wanted.image.id;
    let (progress, begun) = inner.fills.find_or_begin(id, Fill::listen);
    if let Some(fill) = begun {
        let listed = Listed { inner: Arc::clone(inner), id: id.clone(), fill };
        tokio::spawn(run(listed, wanted.clone()));
    }
    progress
}

async fn run(listed: Listed, wanted: Wanted) {
    let Listed { inner, id, fill } = &listed;
    let expected = Expected::of(&wanted.image);
    match inner.begin(id, expected.size).await {
        Ok(None) => tracing::debug!(image_id = id, "no room in the image cache"),
        Ok(Some(Begun::Cached(file))) => {
            let size = file.metadata().map(|metadata| metadata.len());
            match size {
                Ok(size) if expected.size.is_none_or(|wanted| wanted == size) => {
                    fill.tell(Progress::Whole { file: Arc::new(file), size });
                }
                _ => {}
            }
        }
        Ok(Some(Begun::Foreign(file))) => {
            let file = Arc::new(file);
            while follow(fill, &inner.layout, id, Arc::clone(&file)).await {
                if inner.fills.end_unread(id, fill) {
                    break;
                }
            }
        }
        Ok(Some(Begun::Mine(file))) => fill_from_store(&listed, &wanted, &expected, Arc::new(file)).await,
        Err(error) => inner.complain(id, &error),
    }
}

async fn fill_from_store(listed: &Listed, wanted: &Wanted, expected: &Expected, file: Arc<File>) {
    let Listed { inner, id, fill } = listed;
    let data = match wanted.images.open(wanted.caller.as_ref(), &wanted.image, None).await {
        Ok(reader) => reader.into_stream(),
        Err(error) => {
            tracing::debug!(image_id = id, %error, "the store does not give an image to the cache");
            return abandon(inner, id, file).await;
        }
    };
    let mut writing = Box::pin(write(fill, &file, data, expected, inner.options.largest()));
    let written = loop {
        tokio::select! {
            written = &mut writing => break Some(written),
            () = fill.unread(), if !inner.options.completes => {
                if inner.fills.end_unread(id, fill) {
                    break None;
                }
            }
        }
    };
    drop(writing);
    let size = match written {
        Some(Ok(size)) => size,
        None => {
            tracing::debug!(image_id = id, "nobody reads an image any more that was on its way into the cache");
            return abandon(inner, id, file).await;
        }
        Some(Err(error)) => {
            add(&inner.counters.failed_fills, 1);
            return failed(listed, file, error).await;
        }
    };
    match commit(inner, id, &file, size).await {
        Ok(()) => {
            add(&inner.counters.fills, 1);
            add(&inner.counters.bytes_filled, size);
            fill.tell(Progress::Whole { file, size });
        }
        Err(error) => {
            add(&inner.counters.failed_fills, 1);
            inner.complain(id, &error);
            abandon(inner, id, Arc::clone(&file)).await;
            // It will not be in the cache, but those who read it now get the rest of it: the data is right.
            fill.tell(Progress::Whole { file, size });
        }
    }
}

async fn failed(listed: &Listed, file: Arc<File>, error: WriteError) {
    let Listed { inner, id, fill } = listed;
    match error {
        WriteError::Refuted => {
            tracing::error!(image_id = id, "Checksum verification failed. Aborted caching of image '{id}'.");
            let (layout, name) = (inner.layout.clone(), id.clone());
            let moved = blocking(move || layout.refute(&name, &file)).await;
            if let Err(error) = moved {
                inner.complain(id, &error);
            }
            fill.tell(Progress::Failed(Failure::Refuted));
            return;
        }
        WriteError::Disk(_) => inner.complain(id, &error),
        _ => tracing::warn!(image_id = id, %error, "an image does not come into the cache"),
    }
    abandon(inner, id, file).await;
}

/// The image is in the cache, and the index knows, when this returns.
async fn commit(inner: &Arc<Inner>, id: &str, file: &Arc<File>, size: u64) -> Result<(), Error> {
    let (cache, name, whole) = (Arc::clone(inner), id.to_owned(), Arc::clone(file));
    let committed = blocking(move || {
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
        inner.complain(id, &error);
    }
}
