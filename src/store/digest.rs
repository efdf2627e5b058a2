//! The checksums of an upload, computed beside its write at the pace of the slower one.

mod algorithm;
mod state;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::pool::{Pool, Pools};
use super::strand::{Consumer, Ended, Limits, Strand};
use super::{Priority, StoreError, demand};

pub use algorithm::Algorithm;
use algorithm::Hasher;
pub use state::DigestState;

/// Up to here both digests are computed where `update` is called: it takes less than half a millisecond in all, and a
/// small image needs no thread.
const INLINE: usize = 128 * 1024;

const LIMITS: Limits = Limits { capacity: 2 * 1024 * 1024, batch: 256 * 1024 };

/// MD5 and the configured algorithm over one stream of data. Dropping it stops the work.
pub struct Digests {
    algorithm: Algorithm,
    priority: Priority,
    /// Bytes hashed where `update` was called.
    inline: usize,
    md5: Lane,
    /// `None` when the algorithm is MD5 itself.
    other: Option<Lane>,
}

/// Finished digests, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// An image's `checksum`.
    pub md5: String,
    /// An image's `os_hash_algo`.
    pub algorithm: Algorithm,
    /// An image's `os_hash_value`.
    pub value: String,
}

impl Digests {
    /// Starts with no data; takes no thread before there is a good deal of it.
    pub fn start(algorithm: Algorithm, priority: Priority) -> Self {
        let other = (algorithm != Algorithm::MD5).then(|| Lane::Inline(algorithm.hasher()));
        Self { algorithm, priority, inline: 0, md5: Lane::Inline(Algorithm::MD5.hasher()), other }
    }

    /// Takes more data without copying it, waiting while too much of it is not yet hashed. When the future is dropped
    /// before its end, the data was not taken.
    ///
    /// # Errors
    /// `Io` when no thread can be had.
    pub async fn update(&mut self, data: Bytes) -> Result<(), StoreError> {
        if self.inline.saturating_add(data.len()) <= INLINE {
            self.inline += data.len();
        } else {
            self.inline = usize::MAX;
            self.md5.move_to(self.priority);
            self.other.iter_mut().for_each(|other| other.move_to(self.priority));
        }
        self.md5.room().await?;
        if let Some(other) = &mut self.other {
            other.room().await?;
            other.update(data.clone());
        }
        self.md5.update(data);
        Ok(())
    }

    /// A hint that nothing more may come for a while: what was taken is hashed soon, and let go of.
    pub fn flush(&mut self) {
        self.md5.flush();
        self.other.iter_mut().for_each(Lane::flush);
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// As `update`.
    pub async fn finish(self) -> Result<Hashes, StoreError> {
        self.into_state().await.map(DigestState::finish)
    }

    /// The digests of what was taken so far, for whoever goes on with them.
    ///
    /// # Errors
    /// As `update`.
    pub async fn into_state(self) -> Result<DigestState, StoreError> {
        let (md5, other) = match self.other {
            Some(other) => {
                let (md5, other) = tokio::try_join!(self.md5.into_hasher(), other.into_hasher())?;
                (md5, Some(other))
            }
            None => (self.md5.into_hasher().await?, None),
        };
        Ok(DigestState::new(self.algorithm, md5, other))
    }
}

/// One digest under way.
enum Lane {
    Inline(Box<dyn Hasher>),
    Threads(Strand<Hashing>),
}

impl Lane {
    fn move_to(&mut self, priority: Priority) {
        if let Self::Inline(hasher) = self {
            let hasher = std::mem::replace(hasher, Box::new(algorithm::Nothing));
            *self = Self::Threads(Strand::new(
                Arc::clone(pool(priority)),
                LIMITS,
                Hashing { hasher: Some(hasher), priority },
            ));
        }
    }

    async fn room(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Inline(_) => Ok(()),
            Self::Threads(strand) => strand.room().await.map_err(|ended| cause(&ended)),
        }
    }

    fn update(&mut self, data: Bytes) {
        match self {
            Self::Inline(hasher) => hasher.update(&data),
            Self::Threads(strand) => {
                let weight = weight(&data);
                strand.push(Message::Data(data), weight);
            }
        }
    }

    fn flush(&mut self) {
        if let Self::Threads(strand) = self {
            strand.flush();
        }
    }

    /// What has hashed all that was taken.
    async fn into_hasher(self) -> Result<Box<dyn Hasher>, StoreError> {
        match self {
            Self::Inline(hasher) => Ok(hasher),
            Self::Threads(mut strand) => {
                let (reply, hasher) = oneshot::channel();
                strand.push_last(Message::Finish(reply));
                match hasher.await {
                    Ok(hasher) => Ok(hasher),
                    Err(_) => Err(cause(&strand.end().await)),
                }
            }
        }
    }
}

fn cause(ended: &Ended<Infallible>) -> StoreError {
    match ended {
        Ended::NoThread => StoreError::no_thread(),
        Ended::Failed(_) | Ended::Gone => StoreError::broken_thread(),
    }
}

struct Hashing {
    hasher: Option<Box<dyn Hasher>>,
    priority: Priority,
}

enum Message {
    Data(Bytes),
    Finish(oneshot::Sender<Box<dyn Hasher>>),
}

impl Consumer for Hashing {
    type Message = Message;
    type Error = Infallible;

    fn consume(&mut self, messages: VecDeque<Message>) -> Result<(), Self::Error> {
        for message in messages {
            match (message, &mut self.hasher) {
                (Message::Data(data), Some(hasher)) => {
                    hasher.update(&data);
                    if self.priority == Priority::Background {
                        demand::rest();
                    }
                }
                (Message::Finish(reply), hasher) => {
                    if let Some(hasher) = hasher.take() {
                        // Nobody waits any more when the upload was given up.
                        let _ = reply.send(hasher);
                    }
                }
                (Message::Data(_), None) => {}
            }
        }
        Ok(())
    }
}

/// What a piece of data costs while it waits: tiny pieces cost their handles, too.
pub(super) fn weight(data: &Bytes) -> usize {
    data.len().max(256)
}

/// All streams of the process with this priority share the hashing threads: as many as processors, at least one for each digest.
fn pool(priority: Priority) -> &'static Arc<Pool> {
    static POOLS: OnceLock<Pools> = OnceLock::new();
    let processors = || std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    POOLS.get_or_init(|| Pools::of_processors("glance-hash", processors())).of(priority)
}

#[cfg(test)]
mod tests;
