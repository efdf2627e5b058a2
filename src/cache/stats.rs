//! What the cache has done, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counters of this process. Each only grows.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) fills: AtomicU64,
    pub(super) failed_fills: AtomicU64,
    pub(super) bytes_served: AtomicU64,
    pub(super) bytes_filled: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) bytes_evicted: AtomicU64,
}

/// What the cache of one process has done since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    /// Requests that were answered from a whole image.
    pub hits: u64,
    /// Requests of a caching pipeline that were not.
    pub misses: u64,
    /// Images that came into the cache.
    pub fills: u64,
    /// Fills that were given up.
    pub failed_fills: u64,
    /// Bytes that hits have asked for.
    pub bytes_served: u64,
    /// Bytes of `fills`.
    pub bytes_filled: u64,
    /// Images that had to make room.
    pub evictions: u64,
    /// Bytes of `evictions`.
    pub bytes_evicted: u64,
}

impl Stats {
    /// Both together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            fills: self.fills.saturating_add(other.fills),
            failed_fills: self.failed_fills.saturating_add(other.failed_fills),
            bytes_served: self.bytes_served.saturating_add(other.bytes_served),
            bytes_filled: self.bytes_filled.saturating_add(other.bytes_filled),
            evictions: self.evictions.saturating_add(other.evictions),
            bytes_evicted: self.bytes_evicted.saturating_add(other.bytes_evicted),
        }
    }
}

impl Counters {
    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            fills: read(&self.fills),
            failed_fills: read(&self.failed_fills),
            bytes_served: read(&self.bytes_served),
            bytes_filled: read(&self.bytes_filled),
            evictions: read(&self.evictions),
            bytes_evicted: read(&self.bytes_evicted),
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
