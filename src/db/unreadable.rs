//! Values in rows that neither this program nor upstream writes: set by hand, left by another encryption key, damaged. Something
//! harmless stands in for them, so that the image, the task or the definition can still be shown, listed and deleted, and hides no
//! others; the log names them.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use tracing::warn;

use super::error::DbError;

/// Values that have been named and are not named again. When there are more, all may be named once more.
static NAMED: Mutex<Option<HashSet<u64>>> = Mutex::new(None);
const NAMED_MAX: usize = 4096;

/// The value, or `instead` where the row of this image holds none that can be read.
pub(super) fn or<T>(image: &str, value: Result<T, DbError>, instead: impl FnOnce() -> T) -> T {
    value.unwrap_or_else(|error| {
        report(image, &error);
        instead()
    })
}

/// A row that is not of an image.
pub(super) struct TableRow<'a> {
    table: &'static str,
    /// What tells it from others.
    id: &'a dyn Display,
}

impl<'a> TableRow<'a> {
    pub(super) fn new(table: &'static str, id: &'a dyn Display) -> Self {
        Self { table, id }
    }

    /// The value, or `instead` where the row holds none that can be read.
    pub(super) fn or<T>(&self, value: Result<T, DbError>, instead: impl FnOnce() -> T) -> T {
        value.unwrap_or_else(|error| {
            let (table, row, what) = (self.table, self.id.to_string(), error.to_string());
            if is_new(&(table, &row, &what)) {
                warn!(table, row, "this row holds what nothing should have written: {what}");
            }
            instead()
        })
    }
}

/// Names a value in the log, once. `what` names the column and says what is wrong with it.
pub(crate) fn report(image: &str, what: &dyn Display) {
    let what = what.to_string();
    if is_new(&(image, &what)) {
        warn!(image_id = image, "a row of this image holds what nothing should have written: {what}");
    }
}

fn is_new(named: &impl Hash) -> bool {
    let mut hasher = DefaultHasher::new();
    named.hash(&mut hasher);
    let mut all = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all.get_or_insert_default();
    if known.len() >= NAMED_MAX {
        known.clear();
    }
    known.insert(hasher.finish())
}
