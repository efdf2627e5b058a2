//! Reading behind the writer of a fill.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::expected::Expected;
use super::prefix::Prefix;
use super::progress::Progress;
use super::rest::{Fallback, HELD_BACK, Rest, refuted};
use crate::store::{FileRegion, OpenFile, Piece, Reader};

/// Bytes that are given out at a time of a file that the disk may still refuse.
const STEP: u64 = 4 * 1024 * 1024;

/// A reader behind a writer.
pub(in crate::cache) struct FillReader {
    source: Source,
    /// The first byte.
    start: u64,
    at: u64,
    /// The byte behind the last; `None`: where the image ends, which only the writer will know.
    end: Option<u64>,
    expected: Expected,
    /// From which the bytes before `at` came.
    read_from: Option<Arc<OpenFile>>,
    fallback: Fallback,
}

/// Where the next bytes come from.
enum Source {
    Fill(watch::Receiver<Progress>),
    /// When the fill was given up. Nothing of its file is kept any more.
    Store(Rest),
}

impl FillReader {
    /// A reader of a part of an image, or of all of it.
    pub(in crate::cache) fn new(
        progress: watch::Receiver<Progress>,
        part: Option<Range<u64>>,
        expected: Expected,
        fallback: Fallback,
    ) -> Self {
        let (start, end) = part.map_or((0, expected.size), |part| (part.start, Some(part.end)));
        Self { source: Source::Fill(progress), start, at: start, end, expected, read_from: None, fallback }
    }

    /// The data, as it comes.
    pub(in crate::cache) fn into_reader(self) -> Reader {
        Reader::Pieces(Box::pin(unfold(Some(self), |state| async {
            let mut behind = state?;
            let piece = behind.next().await.transpose()?;
            let next = piece.is_ok().then_some(behind);
            Some((piece, next))
        })))
    }

    async fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if self.end.is_some_and(|end| self.at >= end) {
                return Ok(None);
            }
            let progress = match &mut self.source {
                Source::Fill(progress) => progress.borrow_and_update().clone(),
                Source::Store(rest) => {
                    let next = rest.next().await.transpose()?;
                    return self.take(next);
                }
            };
            match progress {
                Progress::Starting => {}
                Progress::Growing { file, written } => {
                    if let Some(region) = self.region(&file, self.unjudged(written)) {
                        return Ok(Some(region));
                    }
                }
                Progress::Verified { file, size } => {
                    let end = self.end.unwrap_or(size).min(size).min(self.at + STEP);
                    return self.region(&file, end).map_or_else(|| self.ended(), |region| Ok(Some(region)));
                }
                Progress::Whole { file, size } => {
                    let end = self.end.unwrap_or(size).min(size);
                    return self.region(&file, end).map_or_else(|| self.ended(), |region| Ok(Some(region)));
                }
                Progress::Invalid => return Err(refuted()),
                Progress::Abandoned(prefix) => {
                    // All who have begun read to the same byte, so that the digests of what is before it are computed once.
                    if let Some(prefix) = prefix.as_ref().filter(|_| self.at > self.start)
                        && let Some(region) = self.region(prefix.file(), self.unjudged(prefix.length()))
                    {
                        return Ok(Some(region));
                    }
                    self.go_to_store(prefix).await?;
                    continue;
                }
            }
            if let Source::Fill(progress) = &mut self.source
                && progress.changed().await.is_err()
            {
                // The writer has gone without a word: a panic.
                self.go_to_store(None).await?;
            }
        }
    }

    /// Up to where bytes may be given out that nobody has judged, of so many.
    fn unjudged(&self, written: u64) -> u64 {
        written.min(self.end.unwrap_or(written).saturating_sub(HELD_BACK))
    }

    async fn go_to_store(&mut self, prefix: Option<Arc<Prefix>>) -> io::Result<()> {
        // Where nothing was given out, nothing is to be judged with it.
        let before =
            self.read_from.take().map(|file| prefix.unwrap_or_else(|| Arc::new(Prefix::new(file, self.at, None))));
        let rest = Rest::open(&self.fallback, self.at, self.end, &self.expected, before.as_ref()).await?;
        self.source = Source::Store(rest);
        Ok(())
    }

    /// Gives out what the store gave; `None`: it has ended.
    fn take(&mut self, next: Option<Bytes>) -> io::Result<Option<Piece>> {
        let Some(mut bytes) = next else { return self.ended() };
        let left = self.end.map_or(u64::MAX, |end| end - self.at);
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.at += bytes.len() as u64;
        Ok(Some(Piece::Bytes(bytes)))
    }

    /// The data has ended. That it is too short may not pass for its end, also where no length was announced.
    fn ended(&self) -> io::Result<Option<Piece>> {
        let is_short = self.end.is_some_and(|end| self.at < end);
        if is_short { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) }
    }

    /// What lies between what was read and `end`; `None`: nothing yet.
    fn region(&mut self, file: &Arc<OpenFile>, end: u64) -> Option<Piece> {
        let length = end.checked_sub(self.at).filter(|length| *length > 0)?;
        let region = FileRegion { file: Arc::clone(file), offset: self.at, length };
        (self.at, self.read_from) = (end, Some(Arc::clone(file)));
        Some(Piece::Region(region))
    }
}
