//! Writing an image into the cache.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt as _};
use tokio::sync::watch;

use super::expected::{Expected, finish};
use super::prefix::compute_piece;
use super::progress::{Fill, Progress};
use crate::cache::blocking::blocking;
use crate::cache::life::show_life;
use crate::store::{Algorithm, DigestState, Digests, OpenFile, StoreError};
use crate::sys::write_back::start_write_back;

/// Pieces that are written at a time, when they are there already.
const BATCH: usize = 4;

/// Bytes after which the kernel is told to begin writing them to the disk, so that the end has little left to wait for.
const WRITE_BACK: u64 = 16 * 1024 * 1024;

/// Why a fill ended without an image.
#[derive(Debug, thiserror::Error)]
pub(in crate::cache) enum WriteError {
    #[error("the store broke off: {0}")]
    Store(#[source] io::Error),
    #[error("writing: {0}")]
    Disk(#[source] io::Error),
    #[error("{0}")]
    Digest(#[from] StoreError),
    #[error("it is larger than the room in the cache")]
    NoRoom,
    #[error("size or checksum is not that of the image")]
    Invalid,
}

type Data = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Room that an image needs whose size nobody knows.
///
/// Gives how many bytes of the file there is room for, which are enough for `needed`; `None`: there is not enough.
pub(in crate::cache) trait Room {
    /// `reserved`: bytes for which there was room so far.
    fn grow(&self, reserved: u64, needed: u64) -> BoxFuture<'_, io::Result<Option<u64>>>;
}

/// Reads `data` to its end into `file` and judges it; the number of bytes. `reserved`: bytes for which there is room already.
///
/// # Errors
/// Why it did not come to its end.
pub(in crate::cache) async fn write(
    fill: &Fill,
    file: &Arc<OpenFile>,
    data: Data,
    expected: &Expected,
    reserved: u64,
    room: &(dyn Room + Sync),
) -> Result<u64, WriteError> {
    let mut writing = Writing { fill, file, expected, digests: expected.digests(), behind: None, written: 0 };
    match writing.copy(data, reserved, room).await {
        Ok(()) => {}
        Err(failed @ WriteError::Digest(_)) => return Err(failed),
        Err(failed) => {
            if let Some(digests) = writing.digests
                && let Ok(state) = digests.into_state().await
            {
                fill.keep_digests(writing.written, state);
            }
            return Err(failed);
        }
    }
    let hashes = finish(writing.digests).await?;
    if expected.matches(writing.written, hashes.as_ref()) { Ok(writing.written) } else { Err(WriteError::Invalid) }
}

/// Goes on behind the first `before` bytes of a file, which another writer has left and nobody has judged, or this one when its store
/// broke off; else as [`write`]. What this one has not digested yet is digested as it lies in the file, beside the writing: readers get
/// what comes from the store at once, but for the end.
///
/// # Errors
/// Why it did not come to its end.
pub(in crate::cache) async fn write_on(
    fill: &Fill,
    file: &Arc<OpenFile>,
    before: u64,
    data: Data,
    expected: &Expected,
    reserved: u64,
    room: &(dyn Room + Sync),
) -> Result<u64, WriteError> {
    if expected.size.is_some_and(|size| size < before) {
        return Err(WriteError::Invalid);
    }
    let (behind, written) = watch::channel(before);
    let mut writing = Writing { fill, file, expected, digests: None, behind: Some(behind), written: before };
    let copying = async move {
        let copied = writing.copy(data, reserved, room).await;
        Ok::<_, io::Error>((copied, writing.written))
    };
    let digesting = digest(file, expected.algorithm(), fill.take_digests(), written);
    let ((copied, size), digested) = tokio::try_join!(copying, digesting).map_err(WriteError::Disk)?;
    if let Err(failed) = copied {
        if let Some(state) = digested {
            fill.keep_digests(size, state);
        }
        return Err(failed);
    }
    let hashes = digested.map(DigestState::finish);
    if expected.matches(size, hashes.as_ref()) { Ok(size) } else { Err(WriteError::Invalid) }
}

/// Digests of a file that is being written, up to where that ends. `kept`: those of its beginning, where they are known, and its
/// length. `written`: how far the writing is.
async fn digest(
    file: &Arc<OpenFile>,
    algorithm: Option<Algorithm>,
    kept: Option<(u64, DigestState)>,
    mut written: watch::Receiver<u64>,
) -> io::Result<Option<DigestState>> {
    let Some(algorithm) = algorithm else { return Ok(None) };
    let kept = kept.filter(|(at, state)| *at <= *written.borrow() && state.algorithm() == algorithm);
    let (mut at, mut state) = kept.unwrap_or_else(|| (0, DigestState::start(algorithm)));
    loop {
        let end = *written.borrow_and_update();
        if at < end {
            (at, state) = compute_piece(file, at, end, state).await?;
            // A file that grows shows it by that. When all is written, this may go on for long.
            if !written.has_changed().unwrap_or(false) {
                show_life(file).await;
            }
        } else if written.changed().await.is_err() {
            return Ok(Some(state));
        }
    }
}

struct Writing<'a> {
    fill: &'a Fill,
    file: &'a Arc<OpenFile>,
    expected: &'a Expected,
    /// Of what is written: where a write fails, they are the digests of what readers may have got.
    digests: Option<Digests>,
    /// Where the file is digested beside the writing: is told how far that is.
    behind: Option<watch::Sender<u64>>,
    /// Bytes.
    written: u64,
}

impl Writing<'_> {
    /// Writes all of `data`.
    async fn copy(&mut self, data: Data, mut reserved: u64, room: &(dyn Room + Sync)) -> Result<(), WriteError> {
        let Self { fill, file, expected, .. } = *self;
        let mut flushed = self.written;
        let mut batches = data.ready_chunks(BATCH);
        fill.tell(Progress::Growing { file: Arc::clone(file), written: self.written });
        while let Some(batch) = batches.next().await {
            let written = self.written;
            let (mut broken, mut length) = (None, 0);
            let mut pieces = Vec::with_capacity(batch.len());
            for piece in batch {
                match piece {
                    Ok(mut piece) => {
                        // More than the image is not the image's, as without a cache.
                        let left = expected.size.map_or(u64::MAX, |size| size - written - length);
                        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                        length += piece.len() as u64;
                        pieces.push(piece);
                    }
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            if written + length > reserved {
                let grown = room.grow(reserved, written + length).await.map_err(WriteError::Disk)?;
                reserved = grown.ok_or(WriteError::NoRoom)?;
            }
            let (target, from, flush) = (Arc::clone(file), flushed, written + length - flushed >= WRITE_BACK);
            let wrote = blocking(move || {
                write_all(&target, &pieces)?;
                if flush {
                    // A file system without such a call waits at the end.
                    let _ = start_write_back(&target, from, WRITE_BACK);
                }
                Ok(pieces)
            });
            let pieces = wrote.await.map_err(WriteError::Disk)?;
            if let Some(digests) = &mut self.digests {
                for piece in pieces {
                    digests.update(piece).await?;
                }
            }
            self.written += length;
            let written = self.written;
            if let Some(behind) = &self.behind {
                behind.send_replace(written);
            }
            if flush {
                flushed += WRITE_BACK;
            }
            if length > 0 {
                fill.tell(Progress::Growing { file: Arc::clone(file), written });
            }
            if expected.size == Some(written) {
                break;
            }
            if let Some(error) = broken {
                return Err(WriteError::Store(error));
            }
        }
        let written = self.written;
        if let Some(missing) = expected.size.filter(|size| written < *size) {
            let words = format!("{written} of {missing} bytes came");
            return Err(WriteError::Store(io::Error::new(io::ErrorKind::UnexpectedEof, words)));
        }
        Ok(())
    }
}

fn write_all(mut file: &File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left: &mut [IoSlice<'_>] = &mut slices;
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
