//! Data on its way out of Ceph.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use super::super::pool::Pool;
use super::dropped_on_pool::DroppedOnPool;
use crate::sys::ceph::{CephPool, Image, Pending};

/// Bytes of one read.
const PIECE: u64 = 1024 * 1024;

/// Reads under way while the client takes the last one.
const AHEAD: usize = 4;

/// What is read.
pub(super) struct Source {
    pub(super) image: DroppedOnPool<Image>,
    pub(super) pool: DroppedOnPool<Arc<CephPool>>,
    pub(super) name: String,
    pub(super) snapshot: Option<String>,
    pub(super) threads: Arc<Pool>,
}

struct Reading {
    source: Source,
    size: u64,
    /// Reads have been started up to here.
    started: u64,
    pending: VecDeque<(usize, Pending<Bytes>)>,
}

/// The first `size` bytes of an image. It fails rather than end well when the image is removed meanwhile: Ceph then gives
/// zeros.
pub(super) fn stream(source: Source, size: u64) -> impl Stream<Item = io::Result<Bytes>> {
    let reading = Reading { source, size, started: 0, pending: VecDeque::with_capacity(AHEAD) };
    stream::try_unfold(reading, |mut reading| async move {
        reading.read_ahead()?;
        let Some((length, pending)) = reading.pending.pop_front() else { return Ok(None) };
        let piece = pending.await?;
        if piece.len() != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if reading.pending.is_empty() && reading.started == reading.size {
            reading.source.check_still_there().await?;
        }
        Ok(Some((piece, reading)))
    })
}

impl Reading {
    fn read_ahead(&mut self) -> io::Result<()> {
        let Some(image) = self.source.image.get() else { return Ok(()) };
        while self.pending.len() < AHEAD && self.started < self.size {
            let length = usize::try_from(PIECE.min(self.size - self.started)).map_err(io::Error::other)?;
            self.pending.push_back((length, image.read(self.started, length)?));
            self.started += length as u64;
        }
        Ok(())
    }
}

impl Source {
    /// A removal begins with the snapshot: as long as that is there, all that was read before is the image's.
    async fn check_still_there(&self) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let pool = self.pool.get().cloned().ok_or_else(gone)?;
        let (name, snapshot) = (self.name.clone(), self.snapshot.clone());
        let found = self.threads.run(move || pool.open_read_only(&name, snapshot.as_deref()).map(drop));
        found.await.unwrap_or_else(|_| Err(gone()))
    }
}
