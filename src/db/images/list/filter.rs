//! Conditions on the images of a list (`_make_conditions_from_filters` in `glance/db/sqlalchemy/api.py`).

use sea_query::{Expr, ExprTrait, Query, SelectStatement};
use time::PrimitiveDateTime;

use super::{ListQuery, coarse, never};
use crate::db::clock;
use crate::db::connection::Dialect;
use crate::db::images::visibility;
use crate::db::sql::{live, padded};

/// All statuses but `killed` (`STATUSES` in `glance/db/sqlalchemy/api.py`).
const STATUSES: [&str; 8] =
    ["active", "saving", "queued", "pending_delete", "deleted", "deactivated", "importing", "uploading"];

/// A column of `images`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    Id,
    Name,
    Size,
    VirtualSize,
    Status,
    Visibility,
    DiskFormat,
    ContainerFormat,
    Checksum,
    OsHashAlgo,
    OsHashValue,
    Owner,
    MinDisk,
    MinRam,
    Protected,
    OsHidden,
    CreatedAt,
    UpdatedAt,
    DeletedAt,
    Deleted,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Flag,
    Time,
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The column has this value; a text that is no number is in no column of numbers.
    Equal(Column, String),
    Is(Column, bool),
    /// The column has one of these values.
    In(Column, Vec<String>),
    AtLeast(Column, i64),
    AtMost(Column, i64),
    Time(Column, Comparison, PrimitiveDateTime),
}

/// How a time must lie to the one that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Column {
    const ALL: [Self; 20] = [
        Self::Id,
        Self::Name,
        Self::Size,
        Self::VirtualSize,
        Self::Status,
        Self::Visibility,
        Self::DiskFormat,
        Self::ContainerFormat,
        Self::Checksum,
        Self::OsHashAlgo,
        Self::OsHashValue,
        Self::Owner,
        Self::MinDisk,
        Self::MinRam,
        Self::Protected,
        Self::OsHidden,
        Self::CreatedAt,
        Self::UpdatedAt,
        Self::DeletedAt,
        Self::Deleted,
    ];

    /// The column with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Size => "size",
            Self::VirtualSize => "virtual_size",
            Self::Status => "status",
            Self::Visibility => "visibility",
            Self::DiskFormat => "disk_format",
            Self::ContainerFormat => "container_format",
            Self::Checksum => "checksum",
            Self::OsHashAlgo => "os_hash_algo",
            Self::OsHashValue => "os_hash_value",
            Self::Owner => "owner",
            Self::MinDisk => "min_disk",
            Self::MinRam => "min_ram",
            Self::Protected => "protected",
            Self::OsHidden => "os_hidden",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::DeletedAt => "deleted_at",
            Self::Deleted => "deleted",
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::Size | Self::VirtualSize | Self::MinDisk | Self::MinRam => Kind::Integer,
            Self::Protected | Self::OsHidden | Self::Deleted => Kind::Flag,
            Self::CreatedAt | Self::UpdatedAt | Self::DeletedAt => Kind::Time,
            _ => Kind::Text,
        }
    }

    /// Whether the column may be NULL.
    pub(super) fn is_nullable(self) -> bool {
        !matches!(
            self,
            Self::Id
                | Self::Status
                | Self::Visibility
                | Self::MinDisk
                | Self::MinRam
                | Self::Protected
                | Self::OsHidden
                | Self::CreatedAt
                | Self::Deleted
        )
    }

    pub(super) fn expr(self) -> Expr {
        Expr::col(("images", self.name()))
    }

    /// A text as a value for comparison with this column.
    pub(super) fn text(self, value: &str) -> Expr {
        match self {
            Self::Visibility => visibility(value),
            _ => Expr::val(value),
        }
    }
}

pub(super) fn restrict(select: &mut SelectStatement, dialect: Dialect, query: &ListQuery) {
    if let Some(deleted) = query.deleted {
        // Among deleted images the index is a good one.
        let column = if deleted { Column::Deleted.expr() } else { coarse(dialect, Column::Deleted) };
        select.and_where(column.eq(deleted));
        if !deleted {
            select.and_where(Column::Status.expr().is_in(STATUSES));
        }
    }
    for condition in &query.conditions {
        select.and_where(expression(dialect, condition));
    }
    for (name, value) in &query.properties {
        select.and_where(has("image_properties", &[("name", name), ("value", value)]));
    }
    for tag in &query.tags {
        select.and_where(has("image_tags", &[("value", tag)]));
    }
}

fn expression(dialect: Dialect, condition: &Condition) -> Expr {
    match condition {
        Condition::Equal(column, value) => match (column.kind(), number(value)) {
            (Kind::Text, _) => column.expr().eq(column.text(value)),
            (Kind::Integer, Some(number)) => column.expr().eq(number),
            _ => never(),
        },
        Condition::Is(column, value) => match column.kind() {
            Kind::Flag => coarse(dialect, *column).eq(*value),
            _ => never(),
        },
        Condition::In(column, values) => match column.kind() {
            Kind::Text if !values.is_empty() => {
                column.expr().is_in(padded(values.clone()).iter().map(|value| column.text(value)))
            }
            _ => never(),
        },
        Condition::AtLeast(column, number) => bound(*column, *number, Expr::gte),
        Condition::AtMost(column, number) => bound(*column, *number, Expr::lte),
        Condition::Time(column, comparison, time) => {
            let time = clock::to_micros(*time);
            match (column.kind(), comparison) {
                (Kind::Time, Comparison::Equal) => column.expr().eq(time),
                (Kind::Time, Comparison::NotEqual) => column.expr().ne(time),
                (Kind::Time, Comparison::Greater) => column.expr().gt(time),
                (Kind::Time, Comparison::GreaterOrEqual) => column.expr().gte(time),
                (Kind::Time, Comparison::Less) => column.expr().lt(time),
                (Kind::Time, Comparison::LessOrEqual) => column.expr().lte(time),
                _ => never(),
            }
        }
    }
}

/// Upstream compares a column of text with the digits of the number.
fn bound(column: Column, number: i64, compare: fn(Expr, Expr) -> Expr) -> Expr {
    match column.kind() {
        Kind::Integer => compare(column.expr(), Expr::val(number)),
        Kind::Text if column != Column::Visibility => compare(column.expr(), Expr::val(number.to_string())),
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

/// Whether the image has a row like this in a table of children.
fn has(table: &'static str, values: &[(&'static str, &String)]) -> Expr {
    let mut rows = Query::select();
    rows.expr(Expr::cust("1")).from(table);
    rows.and_where(Expr::col((table, "image_id")).eq(Column::Id.expr()));
    rows.and_where(live(table));
    for (column, value) in values {
        rows.and_where(Expr::col((table, *column)).eq(value.as_str()));
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

    #[test]
    fn every_column_is_found_by_its_name() {
        for column in Column::ALL {
            assert_eq!(Column::from_name(column.name()), Some(column));
        }
        assert_eq!(Column::from_name("metadata"), None);
    }

    #[test]
    fn names_are_those_of_the_table() {
        let mut names: Vec<&str> = Column::ALL.iter().map(|column| column.name()).collect();
        let mut columns = crate::db::images::COLUMNS.to_vec();
        names.sort_unstable();
        columns.sort_unstable();
        assert_eq!(names, columns);
    }
}
