//! Reading behind the writer of a fill.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt as _, unfold};
use tokio::sync::watch;

use super::progress::{Failure, Progress};
use crate::store::{FileRegion, Piece, Reader};

/// Bytes that a reader does not get before all have been found right: who has not got them knows that it has no image.
const HELD_BACK: u64 = 64 * 1024;

/// Opens a part of the image at its store; `None` as its end: to the end of the image.
pub(in crate::cache) type Fallback = Box<
    dyn Fn(u64, Option<u64>) -> BoxFuture<'static, io::Result<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>>>
        + Send,
>;

/// A reader behind a writer.
pub(in crate::cache) struct FillReader {
    progress: watch::Receiver<Progress>,
    at: u64,
    /// The byte behind the last; `None`: where the image ends, which only the writer will know.
    end: Option<u64>,
    fallback: Fallback,
    /// The rest, when the fill has failed.
    rest: Option<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>>,
}

impl FillReader {
    /// A reader of a part of an image, or of all of it (`end` being its size where that is known).
    pub(in crate::cache) fn new(
        progress: watch::Receiver<Progress>,
        part: Option<Range<u64>>,
        size: Option<u64>,
        fallback: Fallback,
    ) -> Self {
        let (at, end) = part.map_or((0, size), |part| (part.start, Some(part.end)));
        Self { progress, at, end, fallback, rest: None }
    }

    /// The data, as it comes.
    pub(in crate::cache) fn into_reader(self) -> Reader {
        Reader::Pieces(Box::pin(unfold(Some(self), |state| async {
            let mut behind = state?;
            let piece = behind.next().await?;
            let next = piece.is_ok().then_some(behind);
            Some((piece, next))
        })))
    }

    async fn next(&mut self) -> Option<io::Result<Piece>> {
        loop {
            if self.end.is_some_and(|end| self.at >= end) {
                return None;
            }
            if let Some(rest) = &mut self.rest {
                let Some(bytes) = rest.next().await else { return self.ended() };
                return Some(bytes.map(|mut bytes| {
                    let left = self.end.map_or(u64::MAX, |end| end - self.at);
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    self.at += bytes.len() as u64;
                    Piece::Bytes(bytes)
                }));
            }
            let progress = self.progress.borrow_and_update().clone();
            match progress {
                Progress::Starting => {}
                Progress::Growing { file, written } => {
                    let held = self.end.unwrap_or(written).saturating_sub(HELD_BACK);
                    if let Some(region) = self.region(file, written.min(held)) {
                        return Some(Ok(region));
                    }
                }
                Progress::Whole { file, size } => {
                    let end = self.end.unwrap_or(size).min(size);
                    return self.region(file, end).map(Ok).or_else(|| self.ended());
                }
                Progress::Failed(Failure::Invalid) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "the checksum of the image's data is wrong");
                    return Some(Err(error));
                }
                Progress::Failed(Failure::Abandoned) => match (self.fallback)(self.at, self.end).await {
                    Ok(rest) => {
                        self.rest = Some(rest);
                        continue;
                    }
                    Err(error) => return Some(Err(error)),
                },
            }
            if self.progress.changed().await.is_err() {
                // The writer has gone without a word: a panic.
                match (self.fallback)(self.at, self.end).await {
                    Ok(rest) => self.rest = Some(rest),
                    Err(error) => return Some(Err(error)),
                }
            }
        }
    }

    /// The data has ended. That it is too short may not pass for its end, also where no length was announced.
    fn ended(&self) -> Option<io::Result<Piece>> {
        let is_short = self.end.is_some_and(|end| self.at < end);
        is_short.then(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }

    /// What lies between what was read and `end`; `None`: nothing yet.
    fn region(&mut self, file: Arc<File>, end: u64) -> Option<Piece> {
        let length = end.checked_sub(self.at).filter(|length| *length > 0)?;
        let region = FileRegion { file, offset: self.at, length };
        self.at = end;
        Some(Piece::Region(region))
    }
}
