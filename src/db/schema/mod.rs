//! Upstream's tables: making them, and telling whether they are there.

mod indexes;

use super::address::DatabaseAddress;
use super::connection::Db;
use super::dialect::Dialect;
use super::error::DbError;
pub(crate) use super::error::SchemaError;
use super::migrations::{CountTables, HEAD, Revisions, Upgrade, find};
use crate::config::DatabaseSection;

impl Db {
    /// Makes all tables if there are none; what is there is left alone. See [`Db::upgrade`].
    pub async fn create_schema(&self) -> Result<(), DbError> {
        if tables(self).await? > 0 {
            return Ok(());
        }
        let upgrade = Upgrade { target: find(HEAD)?, is_rolling: false };
        self.upgrade(upgrade, &|_| {}).await.map(drop)
    }

    /// Alembic's names for the state of the tables; none if it knows of no such state.
    pub(crate) async fn revisions(&self) -> Result<Vec<String>, DbError> {
        self.read(Revisions).await
    }

    /// Whether a start with these options would find a database and tables that it can work with. Changes nothing: a file of
    /// SQLite that a start would make, or fill, is as good as one with tables.
    ///
    /// # Errors
    /// As [`Db::connect`] and [`Db::check_schema`].
    pub async fn check_tables(options: &DatabaseSection) -> Result<(), DbError> {
        let url = options.connection.as_ref().ok_or_else(|| DbError::Url("is not set".to_owned()))?;
        let parsed = DatabaseAddress::parse(url.expose(), &options.connection_parameters)?;
        if let DatabaseAddress::Sqlite(address) = parsed.address
            && address.path.try_exists().is_ok_and(|exists| !exists)
        {
            return Ok(());
        }
        let db = Self::connect(options).await?;
        if db.dialect() == Dialect::Sqlite && tables(&db).await? == 0 {
            return Ok(());
        }
        db.check_schema().await
    }

    /// Whether the tables are there, in the state that this program works with.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        if tables(self).await? == 0 {
            return Err(SchemaError::Empty.into());
        }
        let found = self.revisions().await?;
        match found.as_slice() {
            [] => Err(SchemaError::NoRevision.into()),
            [one] if one == HEAD => Ok(()),
            _ => Err(SchemaError::Revision { found, expected: HEAD }.into()),
        }
    }
}

async fn tables(db: &Db) -> Result<i64, DbError> {
    db.read(CountTables { named: None }).await
}

#[cfg(test)]
mod tests;
