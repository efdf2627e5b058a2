//! Values of the columns of `images`: how they are read, stored, and stood in for.

use sea_query::Value;

use super::error::DbError;
use super::model::{Column, Kind, UNREADABLE_OWNER};
use super::row::Columns;

/// A value as a column of `images` holds it.
pub(super) trait Cell: Sized {
    const KIND: Kind;
    const IS_NULLABLE: bool = false;

    fn read(columns: &mut Columns<'_>) -> Result<Self, DbError>;
    fn value(&self) -> Value;
    /// What stands in for a value of the column that cannot be read.
    fn stand_in(column: Column) -> Self;
}

impl Cell for String {
    const KIND: Kind = Kind::Text;

    fn read(columns: &mut Columns<'_>) -> Result<Self, DbError> {
        columns.text()
    }

    /// As a status or a visibility, it is one that allows nothing.
    fn stand_in(_: Column) -> Self {
        Self::new()
    }

    fn value(&self) -> Value {
        self.as_str().into()
    }
}

impl Cell for Option<String> {
    const KIND: Kind = Kind::Text;
    const IS_NULLABLE: bool = true;

    fn read(columns: &mut Columns<'_>) -> Result<Self, DbError> {
        columns.maybe_text()
    }

    fn stand_in(column: Column) -> Self {
        (column == Column::Owner).then(|| UNREADABLE_OWNER.to_owned())
    }

    fn value(&self) -> Value {
        self.clone().into()
    }
}

impl Cell for Option<i64> {
    const KIND: Kind = Kind::Integer;
    const IS_NULLABLE: bool = true;

    fn read(columns: &mut Columns<'_>) -> Result<Self, DbError> {
        columns.maybe_integer()
    }

    fn stand_in(_: Column) -> Self {
        None
    }

    fn value(&self) -> Value {
        (*self).into()
    }
}

impl Cell for i32 {
    const KIND: Kind = Kind::Integer;

    /// SQLite's integers are wider than the columns of other databases; nothing legal is.
    fn read(columns: &mut Columns<'_>) -> Result<Self, DbError> {
        let value = columns.integer()?;
        Ok(Self::try_from(value).unwrap_or(if value < 0 { Self::MIN } else { Self::MAX }))
    }

    fn stand_in(_: Column) -> Self {
        0
    }

    fn value(&self) -> Value {
        (*self).into()
    }
}

impl Cell for bool {
    const KIND: Kind = Kind::Flag;

    fn read(columns: &mut Columns<'_>) -> Result<Self, DbError> {
        columns.flag()
    }

    /// What may be protected is not to be deleted.
    fn stand_in(column: Column) -> Self {
        column == Column::Protected
    }

    fn value(&self) -> Value {
        (*self).into()
    }
}
