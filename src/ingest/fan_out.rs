//! The same data into several stores at the same time.
//!
//! Each piece goes to all writers before the next is read, so that the slowest of them sets the pace and no store is ahead of another
//! by more than the bounded queue of its writer. The pieces are shared, not copied. Where one store is enough, a store that stands still
//! while another goes on is left out.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tracing::warn;

use super::{FailedStores, Order, steps};
use crate::store::{Location, Priority, Store, StoreContext, StoreError, Stored, Writer};
use crate::sys::crash_point::crash_point;

/// A store that is to get the data.
#[derive(Clone)]
pub(crate) struct Destination {
    /// The store's id; for the log.
    pub(crate) id: String,
    pub(crate) store: Arc<dyn Store>,
}

/// In how many of the stores the data must lie in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// In all: when one fails, the data is removed from the others.
    All,
    /// In one at least: a store that fails is left out, the others keep the data.
    Any,
}

/// A store that has been left out.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) id: String,
    /// [`StoreError::LeftBehind`] when something of the data may still be there.
    pub(crate) error: StoreError,
}

impl Lost {
    /// Whether something of the data may still be there.
    pub(crate) fn leaves_something(&self) -> bool {
        is_left(&self.error)
    }
}

/// Writers of one object in several stores.
pub(super) struct FanOut {
    needed: Needed,
    at_once: usize,
    context: StoreContext,
    lanes: Vec<Lane>,
    lost: Vec<Lost>,
}

struct Lane {
    target: Destination,
    writer: Box<dyn Writer>,
}

/// What a commit made durable.
pub(super) struct Durable {
    pub(super) stored: Vec<Stored>,
    pub(super) lost: Vec<Lost>,
}

impl FanOut {
    /// Opens the writers. `announced`: bytes, as [`Store::begin`] takes them.
    ///
    /// # Errors
    /// Those of [`Store::check_room`] and [`Store::begin`]; [`StoreError::Io`] if there is no store to write to.
    pub(super) async fn begin(
        targets: Vec<Destination>,
        order: &Order<'_>,
        announced: Option<u64>,
    ) -> Result<Self, FailedStores> {
        if targets.is_empty() {
            return Err(nowhere());
        }
        let begins = targets.iter().map(|Destination { store, .. }| async move {
            if let Some(size) = order.length {
                store.check_room(size).await?;
            }
            store.begin(&order.context, order.object, announced).await
        });
        let writers = steps::in_stores(begins, steps::WRITE.of(order.needed)).await;
        let lanes = Vec::with_capacity(targets.len());
        let (needed, at_once, context) = (order.needed, order.at_once.max(1), order.context.clone());
        let mut fan_out = Self { needed, at_once, context, lanes, lost: Vec::new() };
        let mut failed = Vec::new();
        for (target, writer) in targets.into_iter().zip(writers) {
            match writer {
                Ok(writer) => fan_out.lanes.push(Lane { target, writer }),
                Err(error) => failed.push(Lost { id: target.id, error }),
            }
        }
        fan_out.lose(failed).await?;
        Ok(fan_out)
    }

    /// That of the stores' work.
    pub(super) fn priority(&self) -> Priority {
        self.context.priority
    }

    /// Hands a piece to all writers and waits until each has taken it.
    ///
    /// # Errors
    /// That of a store without which the data is not wanted; then it is removed from all.
    pub(super) async fn write(&mut self, piece: &Bytes) -> Result<(), FailedStores> {
        let writes = self.lanes.iter_mut().map(|lane| lane.writer.write(piece.clone()));
        let taken = steps::in_stores(writes, steps::WRITE.of(self.needed)).await;
        if taken.iter().all(Result::is_ok) {
            return Ok(());
        }
        let mut failed = Vec::new();
        for (lane, taken) in std::mem::take(&mut self.lanes).into_iter().zip(taken) {
            match taken {
                Ok(()) => self.lanes.push(lane),
                // The writer has removed what it wrote, or its error says that it could not.
                Err(error) => failed.push(Lost { id: lane.target.id, error }),
            }
        }
        self.lose(failed).await
    }

    /// A hint that nothing more may come for a while ([`Writer::flush`]).
    pub(super) fn flush(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.writer.flush());
    }

    /// Makes the data durable and visible, in so many stores at a time as the order says. Where one will do, none that hangs keeps the
    /// others from their turn, nor the data of those that had theirs from being used.
    ///
    /// # Errors
    /// That of a store without which the data is not wanted; then it is removed from all.
    pub(super) async fn commit(mut self) -> Result<Durable, FailedStores> {
        let mut lanes = std::mem::take(&mut self.lanes).into_iter();
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        while lanes.len() > 0 && (self.needed == Needed::Any || failed.is_empty()) {
            let (targets, writers): (Vec<_>, Vec<_>) =
                lanes.by_ref().take(self.at_once).map(|Lane { target, writer }| (target, writer)).unzip();
            let commits = writers.into_iter().map(|writer| async move {
                let outcome = writer.commit().await;
                crash_point("ingest.stored");
                outcome
            });
            let has_others = !kept.is_empty() || lanes.len() > 0;
            let committed = steps::in_turn(commits, steps::COMMIT.of(self.needed), has_others).await;
            for (target, outcome) in targets.into_iter().zip(committed) {
                match outcome {
                    Ok(stored) => kept.push((target, stored)),
                    Err(error) => failed.push(Lost { id: target.id, error }),
                }
            }
        }
        let aborted = join_all(lanes.map(|lane| lane.writer.abort())).await;
        if self.needed == Needed::All || kept.is_empty() {
            let (ids, errors) = apart(failed.into_iter().chain(std::mem::take(&mut self.lost)));
            let mut errors = errors.into_iter();
            if let Some(error) = errors.next() {
                let removed = join_all(kept.iter().map(|(target, stored)| remove(&self.context, target, stored))).await;
                let left = removed.into_iter().chain(aborted).filter_map(Result::err);
                let error = worst(error, errors.chain(left));
                return Err(FailedStores { ids, error });
            }
            if kept.is_empty() {
                return Err(nowhere());
            }
        } else {
            self.lost.extend(failed);
        }
        Ok(Durable { stored: kept.into_iter().map(|(_, stored)| stored).collect(), lost: self.lost })
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// `LeftBehind`, also for a store that was left out before.
    pub(super) async fn abort(self) -> Result<(), StoreError> {
        let aborted = join_all(self.lanes.into_iter().map(|lane| lane.writer.abort())).await;
        let left = self.lost.into_iter().map(|lost| lost.error).filter(is_left).map(Err);
        aborted.into_iter().chain(left).collect()
    }

    /// Goes on without the stores that failed, or gives up.
    async fn lose(&mut self, failed: Vec<Lost>) -> Result<(), FailedStores> {
        if self.needed == Needed::Any && !self.lanes.is_empty() {
            self.lost.extend(failed);
            return Ok(());
        }
        let earlier = std::mem::take(&mut self.lost);
        let (ids, errors) = apart(failed.into_iter().chain(earlier));
        let mut errors = errors.into_iter();
        let Some(error) = errors.next() else { return Ok(()) };
        let aborted = join_all(std::mem::take(&mut self.lanes).into_iter().map(|lane| lane.writer.abort())).await;
        let error = worst(error, errors.chain(aborted.into_iter().filter_map(Result::err)));
        Err(FailedStores { ids, error })
    }
}

/// Data that no store has taken is not kept, though none has failed.
fn nowhere() -> FailedStores {
    let source = io::Error::from(io::ErrorKind::InvalidInput);
    FailedStores {
        ids: Vec::new(),
        error: StoreError::Io { doing: "No store was named for the data".to_owned(), source },
    }
}

/// The ids of stores, and their errors.
fn apart(lost: impl Iterator<Item = Lost>) -> (Vec<String>, Vec<StoreError>) {
    lost.map(|Lost { id, error }| (id, error)).unzip()
}

/// Removes data that is durable in a store, since another store failed.
async fn remove(context: &StoreContext, target: &Destination, stored: &Stored) -> Result<(), StoreError> {
    let location = Location::parse(&stored.url)?;
    match target.store.delete(context, &location).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => {
            warn!(store = target.id, error = &error as &dyn Error, "data that is not wanted stays");
            Err(StoreError::LeftBehind(Box::new(error)))
        }
    }
}

/// The one error of several to speak of: the first, unless another says that something is left behind, which the caller must remember.
fn worst(first: StoreError, others: impl Iterator<Item = StoreError>) -> StoreError {
    others.fold(first, |worst, other| if is_left(&other) && !is_left(&worst) { other } else { worst })
}

fn is_left(error: &StoreError) -> bool {
    matches!(error, StoreError::LeftBehind(_))
}
