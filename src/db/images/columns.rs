//! The columns of `images` in statements.

use sea_query::{Alias, Cond, Expr, ExprTrait, Value};

use crate::db::dialect::Dialect;
use crate::db::model::Column;

/// Longest id that the column holds. A longer one names nothing; asking the database might find a cut-off one.
pub(super) const ID_LENGTH: usize = 36;

/// All statuses but `killed` (`STATUSES` in `glance/db/sqlalchemy/api.py`).
pub(super) const STATUSES: [&str; 8] =
    ["active", "saving", "queued", "pending_delete", "deleted", "deactivated", "importing", "uploading"];

/// The status of an image whose upload has failed, in old databases.
const KILLED: &str = "killed";

/// That the image is in one of these statuses. One that nobody knows stands for all of that kind: what was read of the row may be only
/// what stands in for a status that cannot be read, or is too long.
pub(super) fn is_in_status(states: &[String]) -> Cond {
    let status = || column(Column::Status);
    let known = || STATUSES.into_iter().chain([KILLED]);
    let is_other = states.iter().any(|state| !known().any(|known| known == state));
    let any = Cond::any().add(status().is_in(states.iter().map(String::as_str)));
    any.add_option(is_other.then(|| status().is_not_in(known())))
}

/// The names of all columns, in the order in which they are read.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    Column::ALL.iter().map(|column| column.name())
}

/// The column as part of a condition.
pub(super) fn column(column: Column) -> Expr {
    Expr::col(("images", column.name()))
}

/// A value for this column: to be stored, or to be compared with it.
pub(super) fn value(column: Column, value: impl Into<Value>) -> Expr {
    match (column, value.into()) {
        // It has a type of its own on PostgreSQL.
        (Column::Visibility, value) => Expr::val(value).as_enum(Alias::new("image_visibility")),
        // No owner is NULL, never an empty text.
        (Column::Owner, Value::String(owner)) => Expr::val(owner.filter(|owner| !owner.is_empty())),
        (_, value) => Expr::val(value),
    }
}

/// A column that halves the table at best. SQLite, knowing nothing of the data, takes any index of a column that is
/// compared for equality, and would sort the whole table instead of walking along the order that is asked for; the plus
/// sign keeps it from that.
pub(super) fn coarse(dialect: Dialect, of: Column) -> Expr {
    match dialect {
        Dialect::Sqlite => Expr::cust(format!("+\"images\".\"{}\"", of.name())),
        Dialect::Postgres | Dialect::MySql => column(of),
    }
}

/// A condition that nothing meets.
pub(super) fn never() -> Expr {
    Expr::val(1).eq(0)
}
