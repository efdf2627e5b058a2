//! Words of a column that has a fixed set of them, and in this row another.

use std::sync::{PoisonError, RwLock};

/// Words that were met so far. They are set by hand, so there are few.
static MET: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());
const MET_MAX: usize = 256;
/// What is kept of a word; the columns are narrower, but SQLite does not mind.
const LENGTH_MAX: usize = 255;

/// The word for as long as the process runs, so that whoever holds it stays as small as with a word that is known. A word too many,
/// or too long, is not kept.
pub(crate) fn keep(word: &str) -> &'static str {
    let find = |met: &[&'static str]| met.iter().copied().find(|known| *known == word);
    if let Some(known) = find(&MET.read().unwrap_or_else(PoisonError::into_inner)) {
        return known;
    }
    let mut met = MET.write().unwrap_or_else(PoisonError::into_inner);
    match find(&met) {
        Some(known) => known,
        None if met.len() < MET_MAX && word.len() <= LENGTH_MAX => {
            let kept: &'static str = Box::leak(word.into());
            met.push(kept);
            kept
        }
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_once_and_not_without_end() {
        let busy = keep("busy");
        assert_eq!(busy, "busy");
        assert!(std::ptr::eq(busy, keep(&String::from("busy"))));
        assert_eq!(keep(&"x".repeat(256)), "unknown");
        let several: Vec<&str> = (0..2 * MET_MAX).map(|number| keep(&number.to_string())).collect();
        assert_eq!(several.last(), Some(&"unknown"));
        assert_eq!(MET.read().unwrap().len(), MET_MAX);
        assert_eq!((keep("busy"), keep("one more")), ("busy", "unknown"));
    }
}
