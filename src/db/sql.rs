//! Pieces of statements that many have in common.

use sea_query::{Expr, ExprTrait, Query, UpdateStatement};
use time::PrimitiveDateTime;

/// Rows that are not deleted. Not written as a comparison: SQLite, knowing nothing of the data, would take the index of
/// `deleted` before that of `image_id`, and read the whole table for one image.
pub(super) fn live(table: &'static str) -> Expr {
    Expr::col((table, "deleted")).not()
}

/// Marks rows of a table as deleted; the caller says which.
pub(super) fn soft_delete(table: &'static str, now: PrimitiveDateTime) -> UpdateStatement {
    Query::update()
        .table(table)
        .values([("deleted", true.into()), ("deleted_at", now.into()), ("updated_at", now.into())])
        .take()
}

/// Images of a page where neither a request nor the configuration says how many (`limit_param_default`).
pub(super) const PAGE: usize = 25;

/// The length that a list of values gets, so that a statement has few forms to be prepared: a power of two, or that of a page.
pub(super) const fn padded_length(length: usize) -> usize {
    match length {
        17..=PAGE => PAGE,
        _ => length.next_power_of_two(),
    }
}

/// Repeats the last value until the list has [such a length](padded_length).
pub(super) fn padded<T: Clone>(mut values: Vec<T>) -> Vec<T> {
    if let Some(last) = values.last().cloned() {
        values.resize(padded_length(values.len()), last);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_to_few_lengths() {
        for (count, expected) in [(0, 0), (1, 1), (2, 2), (3, 4), (16, 16), (17, 25), (25, 25), (26, 32), (1000, 1024)]
        {
            let values: Vec<String> = (0..count).map(|n: i32| n.to_string()).collect();
            let padded = padded(values.clone());
            assert_eq!(padded.len(), expected);
            assert_eq!(padded.get(..values.len()), Some(values.as_slice()));
            assert!(padded.iter().all(|value| values.contains(value)));
        }
    }
}
