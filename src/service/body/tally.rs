//! The account of one response, closed when its last byte is gone or given up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::http::AccessRecord;
use crate::service::connection::activity::Flight;

/// Held by the body and by each of its chunks; the last of them to go writes the access log.
#[derive(Debug)]
pub(super) struct Tally {
    record: Record,
    flight: Flight,
    bytes: AtomicU64,
    /// The body came to its end.
    ended: AtomicBool,
    /// A chunk was dropped with bytes left in it.
    broken: AtomicBool,
}

struct Record(Mutex<Option<AccessRecord>>);

impl Tally {
    pub(super) fn new(record: Option<AccessRecord>, flight: Flight) -> Self {
        Self {
            record: Record(Mutex::new(record)),
            flight,
            bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    pub(super) fn owes(&self) {
        self.flight.owes();
    }

    pub(super) fn paid(&self, left: usize) {
        self.flight.paid();
        if left > 0 {
            self.broken.store(true, Relaxed);
        }
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.flight.took();
    }

    pub(super) fn ended(&self) {
        self.ended.store(true, Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let record = self.record.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(record) = record {
            let complete = self.ended.load(Relaxed) && !self.broken.load(Relaxed);
            record.finish(self.bytes.load(Relaxed), complete);
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}
