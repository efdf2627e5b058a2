//! The kinds of SQL that we speak.

/// Whose SQL a database understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    Sqlite,
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl Dialect {
    /// The text that becomes of a truth value where upstream stores it in a column of text: psycopg2 writes a word of PostgreSQL's, the
    /// other drivers write a number.
    pub(crate) fn truth(self, flag: bool) -> &'static str {
        match (self, flag) {
            (Self::Postgres, true) => "true",
            (Self::Postgres, false) => "false",
            (Self::Sqlite | Self::MySql, true) => "1",
            (Self::Sqlite | Self::MySql, false) => "0",
        }
    }

    /// The same of a number with a point, from how Python writes it: MySQL reads it and writes it anew.
    pub(crate) fn float(self, text: &str) -> &str {
        match self {
            Self::MySql => text.strip_suffix(".0").unwrap_or(text),
            Self::Sqlite | Self::Postgres => text,
        }
    }
}
