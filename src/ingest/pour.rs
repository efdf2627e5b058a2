//! A stream on its way into stores.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::fan_out::{Destination, FanOut, Lost, Needed};
use super::{Allowance, IngestError};
use crate::inspect::Inspector;
use crate::store::{Algorithm, Digests, Hashes, Priority, StoreContext, StoreError, Stored};
use crate::sys::background;
use crate::sys::crash_point::crash_point;

/// A source that sends nothing for this long may have stalled: what it has sent is then written, however little, because
/// thousands of such sources may be waited for.
const PAUSE: Duration = Duration::from_millis(200);

/// What is to become of a stream.
pub(crate) struct Order<'a> {
    /// What the object is called in the stores: an image's id.
    pub(crate) object: &'a str,
    /// Bytes that are said to come, whether that makes sense or not; 0 or `None`: not known.
    pub(crate) announced: Option<i128>,
    /// Bytes that must come for the stream to be whole; `None`: not known.
    pub(crate) length: Option<u64>,
    /// Of the second digest; the first is MD5. `None`: the data is not digested.
    pub(crate) algorithm: Option<Algorithm>,
    /// Whether to look at what the data is.
    pub(crate) inspects: bool,
    pub(crate) needed: Needed,
    /// How many stores make the data durable at a time; the others wait, in their order.
    pub(crate) at_once: usize,
    /// On whose behalf the stores work; the digests and the thread that pours have its priority, too.
    pub(crate) context: StoreContext,
}

/// Writers, digests and an inspector that wait for data. Dropped, it removes what was written, on other threads:
/// `StoreContext::keeping` says when that has ended.
pub(crate) struct Ingest {
    writers: FanOut,
    digests: Option<Digests>,
    inspector: Option<Inspector>,
    announced: Option<i128>,
}

/// All of the data has been seen; nobody can read it yet. Dropped, it removes what was written; [`Poured::discard`] also says whether
/// that went well.
pub(crate) struct Poured {
    /// Bytes.
    pub(crate) size: u64,
    /// Of an order with an algorithm.
    pub(crate) hashes: Option<Hashes>,
    /// Of an order that inspects.
    pub(crate) inspector: Option<Inspector>,
    writers: FanOut,
}

/// Data that is durable and visible in its stores.
#[derive(Debug)]
pub(crate) struct Ingested {
    /// Bytes.
    pub(crate) size: u64,
    /// Of an order with an algorithm.
    pub(crate) hashes: Option<Hashes>,
    /// One for each store that has the data, at least one.
    pub(crate) stored: Vec<Stored>,
    /// The stores that failed, where not all were needed.
    pub(crate) lost: Vec<Lost>,
}

impl Ingest {
    /// Opens a writer in each of the stores.
    ///
    /// # Errors
    /// [`IngestError::Stores`]; [`IngestError::Store`] where no thread can be had.
    pub(crate) async fn begin(targets: Vec<Destination>, order: &Order<'_>) -> Result<Self, IngestError> {
        if order.context.priority == Priority::Background {
            // Later, what is written would be dropped, and nobody told whether it is gone.
            background::ready().map_err(StoreError::without_thread)?;
        }
        // No store holds so much, nor less than nothing: such data is read until it disagrees.
        let plausible = order.announced.and_then(|size| u64::try_from(size).ok());
        Ok(Self {
            writers: FanOut::begin(targets, order, plausible).await?,
            digests: order.algorithm.map(|algorithm| Digests::start(algorithm, order.context.priority)),
            inspector: order.inspects.then(Inspector::new),
            announced: order.announced,
        })
    }

    /// Reads the stream to its end. The pace is that of the slowest among stores, digests and source.
    ///
    /// # Errors
    /// All of [`IngestError`]; the data is removed then.
    pub(crate) async fn pour<S>(self, data: S, allowance: Allowance) -> Result<Poured, IngestError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        match self.writers.priority() {
            Priority::Request => self.pour_here(data, allowance).await,
            // Each piece would wake up a thread of the requests' runtime.
            Priority::Background => {
                let poured = background::poll_in_background(self.pour_here(data, allowance)).await;
                poured.map_err(StoreError::without_thread)?
            }
        }
    }

    async fn pour_here<S>(mut self, data: S, allowance: Allowance) -> Result<Poured, IngestError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        crash_point("ingest.begun");
        let seen = match self.read(data, allowance).await {
            Ok(size) => match self.digests.take() {
                Some(digests) => digests.finish().await.map(|hashes| (size, Some(hashes))).map_err(IngestError::from),
                None => Ok((size, None)),
            },
            Err(error) => Err(error),
        };
        match seen {
            Ok((size, hashes)) => Ok(Poured { size, hashes, inspector: self.inspector, writers: self.writers }),
            Err(error) => {
                self.writers.abort().await?;
                Err(error)
            }
        }
    }

    async fn read<S>(&mut self, data: S, allowance: Allowance) -> Result<u64, IngestError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        let mut size: u64 = 0;
        let mut data = pin!(data);
        loop {
            let next = match timeout(PAUSE, data.next()).await {
                Ok(next) => next,
                Err(_) => {
                    self.digests.iter_mut().for_each(Digests::flush);
                    self.writers.flush();
                    data.next().await
                }
            };
            let Some(piece) = next else { break };
            let piece = piece.map_err(IngestError::Source)?;
            size += piece.len() as u64;
            allowance.check(size)?;
            if let Some(expected) = self.announced.filter(|expected| *expected < 0) {
                return Err(StoreError::SizeExceeded { expected, actual: size }.into());
            }
            if let Some(inspector) = &mut self.inspector {
                inspector.feed(&piece);
            }
            if let Some(digests) = &mut self.digests {
                digests.update(piece.clone()).await?;
            }
            self.writers.write(&piece).await?;
            crash_point("ingest.written");
        }
        match self.announced.filter(|expected| *expected != 0 && *expected != i128::from(size)) {
            Some(expected) => Err(StoreError::SizeMismatch { expected, actual: size }.into()),
            None => Ok(size),
        }
    }
}

impl Poured {
    /// Makes the data durable and visible.
    ///
    /// # Errors
    /// [`IngestError::Stores`]; the data is removed then.
    pub(crate) async fn commit(self) -> Result<Ingested, IngestError> {
        crash_point("ingest.read");
        let durable = self.writers.commit().await?;
        crash_point("ingest.committed");
        Ok(Ingested { size: self.size, hashes: self.hashes, stored: durable.stored, lost: durable.lost })
    }

    /// Removes the data.
    ///
    /// # Errors
    /// `LeftBehind`
    pub(crate) async fn discard(self) -> Result<(), StoreError> {
        self.writers.abort().await
    }
}

#[cfg(test)]
mod tests;
