//! Which locations an image has while it is changed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::db::model::LocationRecord;

/// The locations of an image while it is changed, so that one that is added is not compared with each of them.
#[derive(Debug, Default)]
pub(in crate::image) struct Known {
    hasher: RandomState,
    /// How many locations have each digest of URL and metadata; `None` until somebody asks.
    counts: Option<HashMap<u64, usize>>,
}

impl Known {
    /// Whether one of the `locations`, which are those that were told here, is perhaps the same; if not, none is.
    pub(super) fn may_have(&mut self, locations: &[LocationRecord], location: &LocationRecord) -> bool {
        let Self { hasher, counts } = self;
        let counts = counts.get_or_insert_with(|| {
            let mut counts = HashMap::with_capacity(locations.len());
            for known in locations {
                *counts.entry(digest(hasher, known)).or_default() += 1;
            }
            counts
        });
        counts.contains_key(&digest(hasher, location))
    }

    pub(super) fn added(&mut self, location: &LocationRecord) {
        let digest = digest(&self.hasher, location);
        if let Some(counts) = &mut self.counts {
            *counts.entry(digest).or_default() += 1;
        }
    }

    pub(super) fn removed(&mut self, location: &LocationRecord) {
        let digest = digest(&self.hasher, location);
        let Some(counts) = &mut self.counts else { return };
        match counts.get_mut(&digest) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&digest)),
        }
    }

    /// The locations are others now.
    pub(super) fn forget(&mut self) {
        self.counts = None;
    }
}

fn digest(hasher: &RandomState, location: &LocationRecord) -> u64 {
    hasher.hash_one((&location.url, &location.metadata))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn a_location_is_known_as_long_as_it_is_there() {
        let told = |url: &str, rack: i64| {
            let metadata = Map::from_iter([("rack".to_owned(), Value::from(rack))]);
            LocationRecord::active(url.to_owned(), metadata)
        };
        let locations = [told("a", 1), told("b", 1), told("a", 1)];
        let mut known = Known::default();
        // Nobody has asked yet.
        known.added(&locations[0]);
        known.removed(&locations[0]);
        let expected = |known: &mut Known, expected: [bool; 3]| {
            let found =
                [told("a", 1), told("a", 2), told("b", 1)].map(|location| known.may_have(&locations, &location));
            assert_eq!(found, expected);
        };
        expected(&mut known, [true, false, true]);
        known.removed(&locations[0]);
        known.added(&told("a", 2));
        expected(&mut known, [true, true, true]);
        known.removed(&locations[2]);
        known.removed(&locations[1]);
        expected(&mut known, [false, true, false]);
        known.forget();
        expected(&mut known, [true, false, true]);
    }

    #[test]
    fn a_hundred_thousand_locations_take_no_time() {
        let url = |number: i64| format!("http://web.example/a-name-of-some-length/{number:08}");
        let all: Vec<LocationRecord> =
            (0..100_000).map(|number| LocationRecord::active(url(number), Map::new())).collect();
        let started = Instant::now();
        let mut known = Known::default();
        let mut locations = Vec::new();
        for location in &all {
            assert!(!known.may_have(&locations, location));
            known.added(location);
            locations.push(location.clone());
        }
        assert!(known.may_have(&locations, &all[7]));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
