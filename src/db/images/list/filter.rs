//! Conditions on the images of a list (`_make_conditions_from_filters` in `glance/db/sqlalchemy/api.py`).

use sea_query::{Expr, ExprTrait, Query, SelectStatement};

use super::query::{Comparison, Condition, ListQuery};
use crate::db::clock;
use crate::db::dialect::Dialect;
use crate::db::images::columns::{STATUSES, coarse, column, never, value};
use crate::db::model::{Column, Kind};
use crate::db::sql::{live, padded};

/// With more subqueries than this, PostgreSQL is not to look for the best order of joining them: with 64 it looks for minutes.
const JOINS: usize = 12;

pub(super) fn restrict(select: &mut SelectStatement, dialect: Dialect, query: &ListQuery) {
    if let Some(deleted) = query.deleted {
        // Among deleted images the index is a good one.
        let is_deleted = if deleted { column(Column::Deleted) } else { coarse(dialect, Column::Deleted) };
        select.and_where(is_deleted.eq(deleted));
        if !deleted {
            select.and_where(column(Column::Status).is_in(STATUSES));
        }
    }
    for condition in &query.conditions {
        select.and_where(expression(dialect, condition));
    }
    let is_join = query.properties.len() + query.tags.len() <= JOINS;
    for (name, value) in &query.properties {
        select.and_where(has("image_properties", &[("name", name), ("value", value)], is_join));
    }
    for tag in &query.tags {
        select.and_where(has("image_tags", &[("value", tag)], is_join));
    }
}

fn expression(dialect: Dialect, condition: &Condition) -> Expr {
    match condition {
        Condition::Equal(of, text) => match (of.kind(), number(text)) {
            (Kind::Text, _) => column(*of).eq(text_of(*of, text)),
            (Kind::Integer, Some(number)) => column(*of).eq(number),
            _ => never(),
        },
        Condition::Is(of, flag) => match of.kind() {
            Kind::Flag => coarse(dialect, *of).eq(*flag),
            _ => never(),
        },
        Condition::In(of, texts) => match of.kind() {
            Kind::Text if !texts.is_empty() => {
                // The statement of a long list is used once, so it may have any form.
                let texts = if condition.is_long() { texts.clone() } else { padded(texts.clone()) };
                column(*of).is_in(texts.iter().map(|text| text_of(*of, text)))
            }
            _ => never(),
        },
        Condition::AtLeast(of, number) => bound(*of, *number, Expr::gte),
        Condition::AtMost(of, number) => bound(*of, *number, Expr::lte),
        Condition::Time(of, comparison, time) => {
            let time = clock::to_micros(*time);
            match (of.kind(), comparison) {
                (Kind::Time, Comparison::Equal) => column(*of).eq(time),
                (Kind::Time, Comparison::NotEqual) => column(*of).ne(time),
                (Kind::Time, Comparison::Greater) => column(*of).gt(time),
                (Kind::Time, Comparison::GreaterOrEqual) => column(*of).gte(time),
                (Kind::Time, Comparison::Less) => column(*of).lt(time),
                (Kind::Time, Comparison::LessOrEqual) => column(*of).lte(time),
                _ => never(),
            }
        }
    }
}

/// Upstream compares a column of text with the digits of the number.
fn bound(of: Column, number: i64, compare: fn(Expr, Expr) -> Expr) -> Expr {
    match of.kind() {
        Kind::Integer => compare(column(of), Expr::val(number)),
        Kind::Text if of != Column::Visibility => compare(column(of), Expr::val(number.to_string())),
        _ => never(),
    }
}

/// A whole number as the databases read it from a text: `5`, ` 5`, `5.0` and `50e-1` are the same.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_matches(|c: char| c == ' ' || ('\t'..='\r').contains(&c));
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    // Rust also takes words for numbers.
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = text.parse::<f64>().ok().filter(|number| is_decimal && number.fract() == 0.0)?;
    // The range of doubles whose whole numbers are all there.
    (number.abs() <= 2_f64.powi(53)).then_some(number as i64)
}

/// A text to be compared with a column. An empty owner is nobody's, not NULL.
pub(super) fn text_of(of: Column, text: &str) -> Expr {
    match of {
        Column::Visibility => value(of, text),
        _ => Expr::val(text),
    }
}

/// Whether the image has a row like this in a table of children. `is_join`: the database may make a join of it.
fn has(table: &'static str, values: &[(&'static str, &String)], is_join: bool) -> Expr {
    let mut rows = Query::select();
    rows.expr(Expr::cust("1")).from(table);
    rows.and_where(Expr::col((table, "image_id")).eq(column(Column::Id)));
    rows.and_where(live(table));
    for (column, value) in values {
        rows.and_where(Expr::col((table, *column)).eq(value.as_str()));
    }
    if !is_join {
        // The result is the same, but LIMIT and OFFSET keep PostgreSQL's planner from flattening the subquery into a join.
        rows.limit(1).offset(0);
    }
    Expr::exists(rows.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_a_database() {
        for text in ["5", " 5 ", "5.0", "5.", "+5", "05", "5e0", "50e-1", ".5E1", "\t5\u{b}"] {
            assert_eq!(number(text), Some(5), "{text:?}");
        }
        assert_eq!(number("-9223372036854775808"), Some(i64::MIN));
        for text in ["", "5.5", "5_0", "0x5", "inf", "nan", "1e400", "1e300", "5abc", "\u{a0}5", "٥", "e", "-"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
