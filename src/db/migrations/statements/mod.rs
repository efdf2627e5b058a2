//! What the revisions say to each kind of database.

mod images;

use std::borrow::Cow;

use sea_query::Values;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::db::dialect::Dialect;
use crate::db::statement::Statement;

pub(super) use images::remake_images;

const SQLITE: &str = include_str!("sqlite.sql");
const POSTGRES: &str = include_str!("postgresql.sql");
const MYSQL: &str = include_str!("mysql.sql");

/// Alembic's own table, as it makes it.
pub(super) const VERSION_TABLE: &str = "CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)";

/// A statement that the program itself has written.
pub(super) struct Sql(pub(super) Cow<'static, str>);

impl Statement for Sql {
    fn render(&self, _: Dialect) -> (SqlStr, Values) {
        (AssertSqlSafe(self.0.to_string()).into_sql_str(), Values(Vec::new()))
    }
}

/// The statements of a revision, in order.
pub(super) fn of(dialect: Dialect, revision: &str) -> Vec<&'static str> {
    let all = match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
        Dialect::MySql => MYSQL,
    };
    let section = all.split("\n-- ").find_map(|section| section.strip_prefix(revision)?.strip_prefix('\n'));
    section.into_iter().flat_map(|section| section.trim().split(";\n\n")).collect()
}

/// The triggers that keep `is_public` and `visibility` in step while servers of both releases work on one database: upstream has
/// them on MySQL. Whoever writes one column sets the other; whoever writes both, or neither, is refused.
pub(super) const MYSQL_TRIGGERS: [&str; 2] = [
    "CREATE TRIGGER insert_visibility BEFORE INSERT ON images FOR EACH ROW
BEGIN
    IF (NEW.is_public IS NULL) = (NEW.visibility IS NULL) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Invalid visibility value';
    ELSEIF NEW.visibility IS NULL THEN
        SET NEW.visibility = IF(NEW.is_public, 'public', 'shared');
    ELSE
        SET NEW.is_public = NEW.visibility = 'public';
    END IF;
END",
    "CREATE TRIGGER update_visibility BEFORE UPDATE ON images FOR EACH ROW
BEGIN
    IF NOT NEW.is_public <=> OLD.is_public THEN
        IF NEW.is_public IS NULL OR NOT NEW.visibility <=> OLD.visibility THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Invalid visibility value';
        END IF;
        SET NEW.visibility = IF(NEW.is_public, 'public', 'shared');
    ELSEIF NOT NEW.visibility <=> OLD.visibility THEN
        IF NEW.visibility IS NULL THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Invalid visibility value';
        END IF;
        SET NEW.is_public = NEW.visibility = 'public';
    END IF;
END",
];

/// They would refer to a column that is about to go.
pub(super) const MYSQL_NO_TRIGGERS: [&str; 2] =
    ["DROP TRIGGER IF EXISTS insert_visibility", "DROP TRIGGER IF EXISTS update_visibility"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_revision_has_its_own_statements() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
            assert_eq!(of(dialect, "mitaka01").len(), 2, "{dialect:?}");
            assert_eq!(of(dialect, "pike_contract01").len(), 6, "{dialect:?}");
            assert_eq!(of(dialect, "2024_1_expand01").len(), 2, "{dialect:?}");
            assert_eq!(of(dialect, "train_expand01").len(), 0, "{dialect:?}");
            assert_eq!(of(dialect, "mitaka").len(), 0, "{dialect:?}");
            assert!(of(dialect, "liberty")[0].starts_with("CREATE TABLE images ("), "{dialect:?}");
        }
    }
}
