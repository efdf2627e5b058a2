//! What the log says when the cache cannot be used: once, however many requests meet it, as their images come from the stores all the same.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two words in the log about the same thing.
const PERIOD: Duration = Duration::from_secs(3600);

/// Images about whose files something was said; more are not told apart.
const MOST_IMAGES: usize = 1000;

/// What is said once in a while.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    disk: Once,
    index: Once,
    files: Mutex<HashSet<(String, Oddity)>>,
}

/// What is odd about the file of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Oddity {
    /// It cannot be opened, or is no file.
    Unusable,
    /// It is not the image.
    Another,
    /// It cannot be removed.
    Stuck,
}

impl Warnings {
    /// Whether it is time to say that the disk refuses. It may take small images and refuse large ones in turn, so success in between
    /// does not begin anew.
    pub(super) fn may_tell_of_disk(&self) -> bool {
        self.disk.may_tell()
    }

    /// Whether it is time to say that the index does not answer.
    pub(super) fn may_tell_of_index(&self) -> bool {
        self.index.may_tell()
    }

    /// Whether that was not yet said of the file of an image.
    pub(super) fn may_tell_of_file(&self, image_id: &str, oddity: Oddity) -> bool {
        let mut told = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST_IMAGES && told.insert((image_id.to_owned(), oddity))
    }
}

#[derive(Debug, Default)]
struct Once(Mutex<Option<Instant>>);

impl Once {
    fn may_tell(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= PERIOD);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once() {
        let warnings = Warnings::default();
        assert!(warnings.may_tell_of_disk() && warnings.may_tell_of_index());
        assert!(!warnings.may_tell_of_disk() && !warnings.may_tell_of_index());
        *warnings.disk.0.lock().unwrap() = Instant::now().checked_sub(PERIOD);
        assert!(warnings.may_tell_of_disk() && !warnings.may_tell_of_disk());
        assert!(warnings.may_tell_of_file("a", Oddity::Unusable) && !warnings.may_tell_of_file("a", Oddity::Unusable));
        assert!(warnings.may_tell_of_file("a", Oddity::Another) && warnings.may_tell_of_file("b", Oddity::Unusable));
        let told = (0..2 * MOST_IMAGES).filter(|image| warnings.may_tell_of_file(&image.to_string(), Oddity::Stuck));
        assert_eq!(told.count(), MOST_IMAGES - 3);
    }
}
