//! Values in rows that neither this program nor upstream writes: set by hand, left by another encryption key, damaged. Something
//! harmless stands in for them, so that the image can still be shown, listed and deleted; the log names them.

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

/// Names a value in the log, once. `what` names the column and says what is wrong with it.
pub(crate) fn report(image: &str, what: &dyn Display) {
    let what = what.to_string();
    let mut hasher = DefaultHasher::new();
    (image, &what).hash(&mut hasher);
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = named.get_or_insert_default();
    if known.len() >= NAMED_MAX {
        known.clear();
    }
    let is_new = known.insert(hasher.finish());
    drop(named);
    if is_new {
        warn!(image_id = image, "a row of this image holds what nothing should have written: {what}");
    }
}
