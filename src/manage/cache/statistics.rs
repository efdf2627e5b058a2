//! `glance-cache-manage --stats`: what the caches of this host's workers have done.

use std::path::Path;

use super::arguments::Line;
use super::table::{Align, table};
use super::{DONE, FAILURE, Status, directory, say_to_stderr};
use crate::cache::{Stats, totals_of_host};
use crate::config::{Config, Sources};
use crate::manage::console::say;
use crate::manage::error::CommandError;
use crate::store;

/// Says it on standard output.
pub(super) fn show(line: &Line) -> Status {
    match find(&Sources::of_process(line.configuration())) {
        Ok((directory, stats)) => {
            say(format_args!("Image cache {directory}, all workers of this host:\n{}", drawn(&stats)));
            DONE
        }
        Err(error) => {
            say_to_stderr(error);
            FAILURE
        }
    }
}

/// The directory of the cache, and the sums.
fn find(sources: &Sources) -> Result<(String, Stats), CommandError> {
    let config = Config::load(sources, &store::kinds())?.config;
    let directory = directory(&config)?;
    let stats = totals_of_host(Path::new(directory))
        .map_err(|error| CommandError::Refused(format!("ERROR: the counters in {directory}: {error}")))?;
    Ok((directory.to_owned(), stats))
}

fn drawn(stats: &Stats) -> String {
    let rows = [
        ("Hits", stats.hits),
        ("Misses", stats.misses),
        ("Fills", stats.fills),
        ("Failed fills", stats.failed_fills),
        ("Bytes served", stats.bytes_served),
        ("Bytes filled", stats.bytes_filled),
        ("Evictions", stats.evictions),
        ("Bytes evicted", stats.bytes_evicted),
    ];
    table(
        [("Counter", Align::Center), ("Total", Align::Right)],
        &rows.map(|(name, total)| [name.to_owned(), total.to_string()]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_a_row() {
        let stats = Stats {
            hits: 11,
            misses: 12,
            fills: 13,
            failed_fills: 14,
            bytes_served: 15,
            bytes_filled: 16,
            evictions: 17,
            bytes_evicted: 18,
        };
        let drawn = drawn(&stats);
        for (name, total) in [("Hits", 11), ("Misses", 12), ("Failed fills", 14), ("Bytes evicted", 18)] {
            let found = drawn.lines().find(|line| line.contains(&format!(" {name} ")));
            assert!(found.is_some_and(|line| line.ends_with(&format!(" {total} |"))), "{name}: {drawn}");
        }
        assert_eq!(drawn.lines().count(), 12);
    }
}
