//! Reading an image through the cache: a hit, a place behind a writer, or the store as if there were no cache.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use time::OffsetDateTime;

use super::Cache;
use super::blocking::blocking;
use super::fill::{Expected, Fallback, FillReader, Progress};
use super::filling::join;
use super::layout::is_id;
use super::request::FillRequest;
use super::stats::add;
use super::warnings::Oddity;
use crate::identity::Context;
use crate::image::{self, Image, Images, Status};
use crate::store::{FileRegion, OpenFile, Reader};

/// By how much the clocks of hosts may differ.
const SKEW: Duration = Duration::from_secs(3600);

/// A file of the cache that seems to be an image; it stays as long as this is kept.
#[derive(Debug)]
pub(crate) struct Cached {
    file: Arc<OpenFile>,
    size: u64,
    modified: SystemTime,
}

impl Cached {
    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl Cache {
    /// Looks for an image, before anybody knows whether the caller may see it.
    pub(crate) async fn find(&self, id: &str) -> Option<Cached> {
        if !is_id(id) {
            return None;
        }
        let (layout, name) = (self.inner.layout.clone(), id.to_owned());
        let found = blocking(move || {
            let Some(file) = layout.open(&name)? else { return Ok(None) };
            let metadata = file.metadata()?;
            Ok(Some(Cached { size: metadata.len(), modified: metadata.modified()?, file: OpenFile::shared(file) }))
        });
        found.await.unwrap_or_else(|error| {
            self.inner.warn_of_file(id, &error);
            None
        })
    }

    /// Whether what was found is this image, as far as size and age tell. What is not is put aside, so that the image can come anew.
    pub(crate) async fn confirm(&self, found: Cached, image: &Image) -> Option<Cached> {
        if image.status != Status::Active {
            return None;
        }
        let wanted = Expected::of(image).size;
        // After a purge of old rows an id can be used again, and another image must not get the data of the old one.
        let is_older = OffsetDateTime::from(found.modified) + SKEW < image.created_at.assume_utc();
        if !is_older && wanted.is_none_or(|wanted| wanted == found.size) {
            return Some(found);
        }
        if self.inner.warnings.may_tell_of_file(&image.id, Oddity::Another) {
            tracing::warn!(image_id = image.id, size = found.size, wanted, is_older, "a cached image is another one");
        }
        let (layout, name) = (self.inner.layout.clone(), image.id.clone());
        if let Err(error) = blocking(move || layout.invalidate(&name, &found.file)).await {
            self.inner.warn(&image.id, &error);
        }
        None
    }

    /// Serves a hit, or a part of it.
    pub(crate) fn serve(&self, found: &Cached, image: &Image, part: Option<Range<u64>>) -> Reader {
        let part = part.unwrap_or(0..found.size);
        let region = FileRegion {
            file: Arc::clone(&found.file),
            offset: part.start,
            length: part.end.min(found.size).saturating_sub(part.start),
        };
        add(&self.inner.counters.hits, 1);
        add(&self.inner.counters.bytes_served, region.length);
        if self.inner.hits.note(&image.id) {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move { inner.hits.write(&*inner.index).await });
        }
        Reader::File(region)
    }

    /// Opens an image that is not in the cache, or a part of it: behind whoever brings it into the cache, which this may begin, or at
    /// its store where it does not belong into the cache.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub(crate) async fn read(
        &self,
        images: &Images,
        caller: &Arc<Context>,
        image: &Image,
        part: Option<Range<u64>>,
    ) -> Result<Reader, image::Error> {
        add(&self.inner.counters.misses, 1);
        if self.takes(images, image, part.is_some()) {
            let wanted = FillRequest {
                images: images.clone(),
                caller: Some(Arc::clone(caller)),
                image: Arc::new(image.clone()),
            };
            let mut progress = join(&self.inner, &wanted);
            let begun = progress.wait_for(|progress| !matches!(progress, Progress::Starting)).await;
            // Of data that was just found wrong nobody gets more than those who were there before.
            let is_open = begun.is_ok_and(|progress| !matches!(*progress, Progress::Abandoned(_)));
            if is_open {
                let expected = Expected::of(image);
                return Ok(FillReader::new(progress, part, expected, fallback(wanted)).into_reader());
            }
        }
        images.open(Some(caller), image, part).await
    }

    /// Whether an image is to come into the cache because somebody reads it.
    fn takes(&self, images: &Images, image: &Image, is_part: bool) -> bool {
        let options = &self.inner.options;
        let size = Expected::of(image).size;
        if image.status != Status::Active || !is_id(&image.id) || size.is_some_and(|size| size > options.largest()) {
            return false;
        }
        let Some(store) = images.first_store(image) else { return false };
        if options.skipped.contains(&store.id) {
            return false;
        }
        !is_part || (!store.store.can_seek() && size.is_some_and(|size| size <= options.range_limit))
    }
}

/// Opens the rest of an image at its store, for readers whose writer has given up.
fn fallback(wanted: FillRequest) -> Fallback {
    Box::new(move |at, end| {
        let wanted = wanted.clone();
        async move { wanted.open(at, end, None).await.map_err(io::Error::other) }.boxed()
    })
}
