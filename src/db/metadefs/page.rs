//! Where a page of a list begins (upstream: `paginate_query` in `oslo_db/sqlalchemy/utils.py`).
//!
//! Upstream skips columns in which the marker has NULL, and so loses or repeats rows; here the comparison follows the order in
//! which the database sorts NULL.

use sea_query::{Cond, Expr, ExprTrait, Order, Query, SelectStatement};

use crate::db::dialect::Dialect;
use crate::db::images::list::Direction;

/// A column of the order, with what the marker has there; `None` is NULL.
pub(super) type Bound = (&'static str, Option<Expr>);

/// The name of the marker's row in conditions.
const MARKER: &str = "marker";

/// What the row of this id has in a column. The database looks itself, so that it may be something that cannot be read.
pub(super) fn of_marker(table: &'static str, column: &'static str, id: i64) -> Expr {
    let mut marker = Query::select();
    marker.column((MARKER, column)).from_as(table, MARKER).and_where(Expr::col((MARKER, "id")).eq(id));
    Expr::from(marker)
}

pub(super) fn sort(select: &mut SelectStatement, columns: &[&'static str], direction: Direction) {
    let order = match direction {
        Direction::Ascending => Order::Asc,
        Direction::Descending => Order::Desc,
    };
    for column in columns {
        select.order_by(*column, order.clone());
    }
}

/// Holds for what comes after the marker: (a > A) or (a = A and b > B) or …
pub(super) fn after(dialect: Dialect, marker: &[Bound], direction: Direction) -> Cond {
    let mut any = Cond::any();
    for (index, bound) in marker.iter().enumerate() {
        let Some(beyond) = beyond(dialect, bound, direction) else { continue };
        let ties = marker.iter().take(index).fold(Cond::all(), |all, bound| all.add(tie(bound)));
        any = any.add(ties.add(beyond));
    }
    any
}

fn tie((column, value): &Bound) -> Expr {
    match value {
        Some(value) => Expr::col(*column).eq(value.clone()),
        None => Expr::col(*column).is_null(),
    }
}

/// What comes after the bound by this column alone; `None` where nothing does.
fn beyond(dialect: Dialect, (column, value): &Bound, direction: Direction) -> Option<Cond> {
    let of = || Expr::col(*column);
    let is_null_last = (dialect == Dialect::Postgres) == (direction == Direction::Ascending);
    match value {
        Some(value) => {
            let further = match direction {
                Direction::Ascending => of().gt(value.clone()),
                Direction::Descending => of().lt(value.clone()),
            };
            let any = Cond::any().add(further);
            Some(if is_null_last { any.add(of().is_null()) } else { any })
        }
        None if is_null_last => None,
        None => Some(Cond::all().add(of().is_not_null())),
    }
}

#[cfg(test)]
mod tests {
    use sea_query::SqliteQueryBuilder;

    use super::*;

    fn condition(dialect: Dialect, marker: &[Bound], direction: Direction) -> String {
        let query = Query::select().column("id").from("t").cond_where(after(dialect, marker, direction)).take();
        let text = query.to_string(SqliteQueryBuilder);
        text.split_once(" WHERE ").unwrap().1.replace('"', "")
    }

    #[test]
    fn null_is_where_the_database_sorts_it() {
        let marker = |first: Option<&'static str>| [("a", first.map(Expr::val)), ("id", Some(Expr::val(3_i64)))];
        for (dialect, first, direction, expected) in [
            (Dialect::Sqlite, Some("x"), Direction::Ascending, "a > 'x' OR (a = 'x' AND id > 3)"),
            (Dialect::Sqlite, None, Direction::Ascending, "a IS NOT NULL OR (a IS NULL AND id > 3)"),
            (Dialect::MySql, None, Direction::Descending, "a IS NULL AND (id < 3 OR id IS NULL)"),
            (Dialect::Postgres, None, Direction::Ascending, "a IS NULL AND (id > 3 OR id IS NULL)"),
            (Dialect::Postgres, None, Direction::Descending, "a IS NOT NULL OR (a IS NULL AND id < 3)"),
        ] {
            assert_eq!(condition(dialect, &marker(first), direction), expected, "{dialect:?} {direction:?}");
        }
    }
}
