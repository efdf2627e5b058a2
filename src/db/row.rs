//! Reading a row in the same way from each kind of database.

use sqlx::mysql::MySqlRow;
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row as _, TypeInfo};
use time::macros::datetime;
use time::{Duration, PrimitiveDateTime};

use super::clock;
use super::error::DbError;

/// The values of a row by position. The types that the drivers check are those of the declaration, which a `UNION` or
/// an enumeration blurs; what counts here is the value itself.
pub(super) trait Row {
    fn name(&self, index: usize) -> String;
    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error>;
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error>;
    fn flag(&self, index: usize) -> Result<Option<bool>, sqlx::Error>;
    fn time(&self, index: usize) -> Result<Option<PrimitiveDateTime>, sqlx::Error>;
}

/// The values of a row from left to right.
pub(super) struct Columns<'r> {
    row: &'r (dyn Row + 'r),
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r (dyn Row + 'r)) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn skip(&mut self, count: usize) -> &mut Self {
        self.next += count;
        self
    }

    pub(super) fn text(&mut self) -> Result<String, DbError> {
        self.take(Row::text)
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, DbError> {
        self.take_maybe(Row::text)
    }

    pub(super) fn integer(&mut self) -> Result<i64, DbError> {
        self.take(Row::integer)
    }

    pub(super) fn maybe_integer(&mut self) -> Result<Option<i64>, DbError> {
        self.take_maybe(Row::integer)
    }

    pub(super) fn flag(&mut self) -> Result<bool, DbError> {
        self.take(Row::flag)
    }

    pub(super) fn maybe_flag(&mut self) -> Result<Option<bool>, DbError> {
        self.take_maybe(Row::flag)
    }

    pub(super) fn time(&mut self) -> Result<PrimitiveDateTime, DbError> {
        self.take(Row::time)
    }

    pub(super) fn maybe_time(&mut self) -> Result<Option<PrimitiveDateTime>, DbError> {
        self.take_maybe(Row::time)
    }

    fn take<T>(
        &mut self,
        read: impl FnOnce(&'r (dyn Row + 'r), usize) -> Result<Option<T>, sqlx::Error>,
    ) -> Result<T, DbError> {
        let index = self.next;
        self.take_maybe(read)?
            .ok_or_else(|| DbError::Corrupt { column: self.row.name(index), reason: "NULL".to_owned() })
    }

    fn take_maybe<T>(
        &mut self,
        read: impl FnOnce(&'r (dyn Row + 'r), usize) -> Result<Option<T>, sqlx::Error>,
    ) -> Result<Option<T>, DbError> {
        let index = self.next;
        self.next += 1;
        read(self.row, index)
            .map_err(|error| DbError::Corrupt { column: self.row.name(index), reason: error.to_string() })
    }
}

fn name_of<C: Column>(columns: &[C], index: usize) -> String {
    columns.get(index).map_or_else(|| format!("number {index}"), |column| column.name().to_owned())
}

impl Row for SqliteRow {
    fn name(&self, index: usize) -> String {
        name_of(self.columns(), index)
    }

    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn flag(&self, index: usize) -> Result<Option<bool>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn time(&self, index: usize) -> Result<Option<PrimitiveDateTime>, sqlx::Error> {
        let text: Option<&str> = self.try_get_unchecked(index)?;
        text.map(|text| {
            clock::from_text(text).ok_or_else(|| sqlx::Error::Decode(format!("{text:?} is not a time").into()))
        })
        .transpose()
    }
}

/// Where PostgreSQL's times begin, which are microseconds from then on.
const PG_EPOCH: PrimitiveDateTime = datetime!(2000-01-01 0:00);

impl Row for PgRow {
    fn name(&self, index: usize) -> String {
        name_of(self.columns(), index)
    }

    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        // The binary form has the width of the type.
        match self.try_column(index)?.type_info().name() {
            "INT4" => Ok(self.try_get::<Option<i32>, _>(index)?.map(i64::from)),
            "INT2" => Ok(self.try_get::<Option<i16>, _>(index)?.map(i64::from)),
            _ => self.try_get(index),
        }
    }

    fn flag(&self, index: usize) -> Result<Option<bool>, sqlx::Error> {
        self.try_get(index)
    }

    fn time(&self, index: usize) -> Result<Option<PrimitiveDateTime>, sqlx::Error> {
        let raw = self.try_get_raw(index)?;
        if let (PgValueFormat::Binary, Ok(bytes)) = (raw.format(), raw.as_bytes())
            && let Ok(bytes) = bytes.try_into()
        {
            // `infinity` and years of five digits are more than the type holds, and sqlx would panic.
            let time = PG_EPOCH.checked_add(Duration::microseconds(i64::from_be_bytes(bytes)));
            return time.map(Some).ok_or_else(|| sqlx::Error::Decode("not a time of four digits' years".into()));
        }
        self.try_get(index)
    }
}

impl Row for MySqlRow {
    fn name(&self, index: usize) -> String {
        name_of(self.columns(), index)
    }

    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn flag(&self, index: usize) -> Result<Option<bool>, sqlx::Error> {
        Ok(self.integer(index)?.map(|value| value != 0))
    }

    fn time(&self, index: usize) -> Result<Option<PrimitiveDateTime>, sqlx::Error> {
        self.try_get_unchecked(index)
    }
}
