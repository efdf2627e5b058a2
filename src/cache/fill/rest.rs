//! Going on at the store behind what came from the file of a fill.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt as _, empty};

use super::expected::Expected;
use super::prefix::{Prefix, compute};
use crate::store::DigestState;

/// Bytes that a reader does not get before all have been found right: who has not got them knows that it has no image.
pub(super) const HELD_BACK: u64 = 64 * 1024;

type Data = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Opens a part of the image at its store; `None` as its end: to the end of the image.
pub(in crate::cache) type Fallback =
    Box<dyn Fn(u64, Option<u64>) -> BoxFuture<'static, io::Result<Data>> + Send + Sync>;

/// The rest of an image, or of a part of it, from its store.
pub(super) enum Rest {
    /// Of which nothing is known, or before which nothing was given out: as without a cache.
    Plain(Data),
    /// Behind a beginning that nobody has judged: whoever has got it does not get the end before all is found right.
    Judged(Box<Judged>),
}

pub(super) struct Judged {
    /// To the end of the image, whatever part of it is wanted: all of it is judged.
    data: Data,
    expected: Expected,
    /// Digests of all before `at`; `None`: they are judged, or were lost by an error.
    digests: Option<DigestState>,
    at: u64,
    /// The byte behind the last that is wanted, where that is not where the image ends.
    end: Option<u64>,
    held: VecDeque<Bytes>,
    /// Bytes in `held`.
    holds: u64,
}

impl Rest {
    /// What comes behind the first `at` bytes, up to `end`. `prefix`: the beginning from which they were given out, to its end or up to
    /// what is held back; `None`: none were.
    ///
    /// # Errors
    /// Those of the store, and of the file.
    pub(super) async fn open(
        fallback: &Fallback,
        at: u64,
        end: Option<u64>,
        expected: &Expected,
        prefix: Option<&Arc<Prefix>>,
    ) -> io::Result<Self> {
        let Some((prefix, algorithm)) = prefix.zip(expected.algorithm()) else {
            return Ok(Self::Plain(fallback(at, end).await?));
        };
        // Before the store is opened: it may break off a connection from which nobody reads while they are computed.
        let digests = Some(prefix.digests(algorithm).await?);
        let start = prefix.length();
        let held = prefix.read(at, end.unwrap_or(start)).await?;
        let is_all = expected.size.is_some_and(|size| start >= size);
        let data: Data = if is_all { Box::pin(empty()) } else { fallback(start, expected.size).await? };
        let (expected, holds) = (expected.clone(), held.len() as u64);
        let held = VecDeque::from_iter((holds > 0).then_some(held));
        Ok(Self::Judged(Box::new(Judged { data, expected, digests, at: start, end, held, holds })))
    }

    /// The next bytes; `None`: there are no more, or what was judged has ended.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Self::Plain(data) => data.next().await,
            Self::Judged(judged) => judged.next().await.transpose(),
        }
    }
}

impl Judged {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let may_go = if self.digests.is_some() { self.holds.saturating_sub(HELD_BACK) } else { self.holds };
            if may_go > 0 {
                return Ok(self.release(may_go));
            }
            let Some(digests) = self.digests.take() else { return Ok(None) };
            let is_over = self.expected.size.is_some_and(|size| self.at >= size);
            let next = if is_over { None } else { self.data.next().await.transpose()? };
            match next {
                Some(bytes) => self.digests = Some(self.take(bytes, digests).await?),
                None => self.judge(digests)?,
            }
        }
    }

    async fn take(&mut self, mut bytes: Bytes, digests: DigestState) -> io::Result<DigestState> {
        // More than the image is not the image's.
        let left = |end: Option<u64>, at: u64| {
            usize::try_from(end.map_or(u64::MAX, |end| end.saturating_sub(at))).unwrap_or(usize::MAX)
        };
        bytes.truncate(left(self.expected.size, self.at));
        let mut wanted = bytes.clone();
        wanted.truncate(left(self.end, self.at));
        self.at += bytes.len() as u64;
        if !wanted.is_empty() {
            self.holds += wanted.len() as u64;
            self.held.push_back(wanted);
        }
        compute(digests, move |digests| {
            digests.update(&bytes);
            Ok(())
        })
        .await
    }

    fn judge(&self, digests: DigestState) -> io::Result<()> {
        if self.expected.size.is_some_and(|size| self.at < size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let hashes = digests.finish();
        if self.expected.matches(self.at, Some(&hashes)) { Ok(()) } else { Err(refuted()) }
    }

    /// At most so many bytes of what is held.
    fn release(&mut self, most: u64) -> Option<Bytes> {
        let mut first = self.held.pop_front()?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if first.len() > most {
            self.held.push_front(first.split_off(most));
        }
        self.holds -= first.len() as u64;
        Some(first)
    }
}

/// The error with which readers of wrong data are cut off.
pub(super) fn refuted() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the checksum of the image's data is wrong")
}
