//! What a driver reports, and what it means for the next attempt.

use std::error::Error;
use std::fmt;

use sqlx::mysql::MySqlDatabaseError;

/// What a driver has reported, in the words of the database. PostgreSQL's driver adds a line of the server's source to them, which
/// is left out.
#[derive(Debug)]
pub struct Failure {
    error: sqlx::Error,
    /// Which database, where no connection to it could be made.
    label: Option<String>,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self { error, label: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            write!(f, "{label}: ")?;
        }
        f.write_str(&self.words())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.error {
            sqlx::Error::Database(_) => None,
            sqlx::Error::Io(error) => error.source(),
            other => other.source(),
        }
    }
}

impl Failure {
    /// The same, of a connection to the database with this label.
    pub(super) fn at(self, label: &str) -> Self {
        Self { label: Some(label.to_owned()), ..self }
    }

    pub(super) fn words(&self) -> String {
        match &self.error {
            sqlx::Error::Database(error) => error.message().to_owned(),
            // The driver adds that it is about a connection.
            sqlx::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        }
    }

    /// The number or the five letters that the database's manual explains, to stand behind other words.
    pub(super) fn code(&self) -> String {
        let number = self.number().map(|number| number.to_string());
        let code = number.or_else(|| Some(self.error.as_database_error()?.code()?.into_owned()));
        code.map_or_else(String::new, |code| format!(" (code {code})"))
    }

    /// MySQL's number for it.
    pub(super) fn number(&self) -> Option<u16> {
        let error = self.error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>();
        error.map(MySqlDatabaseError::number)
    }

    pub(super) fn cause(&self) -> Cause {
        Cause::of(&self.error)
    }

    /// Whether no connection became free in time.
    pub(super) fn is_of_pool(&self) -> bool {
        matches!(self.error, sqlx::Error::PoolTimedOut)
    }
}

/// What a failed statement means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Deadlock, lock timeout, serialisation failure, busy file.
    Contention,
    /// The connection is gone.
    Disconnect,
    /// The server answers, but does not serve at present: it has lost its cluster, or takes no changes.
    Unfit,
    /// A unique key is taken.
    Duplicate,
    /// A text has a character that does not fit.
    Characters,
    /// A text is too long.
    Length,
    /// A value does not fit.
    Rejected,
    /// A table or a column is missing.
    Tables,
    /// A right is missing.
    Denied,
    /// A disk is full.
    Full,
    Other,
}

impl Cause {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::of_answer(error.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Disconnect,
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Self::Rejected,
            _ => Self::Other,
        }
    }

    fn of_answer(error: &dyn sqlx::error::DatabaseError) -> Self {
        if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
            return match error.number() {
                // Lock wait timeout, deadlock; a Galera node that refuses a conflicting commit says deadlock, group replication
                // has a number of its own. A row has changed since it was read.
                1205 | 1213 | 3101 | 1020 => Self::Contention,
                // The transaction was taken back; see `Session::begin_on_galera`.
                1305 if error.message().contains("SAVEPOINT") => Self::Contention,
                // A Galera node without its cluster; a server that became a replica, or was set to be read.
                1047 | 1792 | 1836 => Self::Unfit,
                1290 if error.message().contains("read-only") || error.message().contains("read_only") => Self::Unfit,
                // Shutdown, too many connections, killed, connection lost, idle for too long. What was prepared is gone: there is
                // another server behind a proxy.
                1040 | 1053 | 1152..=1161 | 1184 | 1203 | 1243 | 1317 | 1615 | 1927 | 2006 | 2013 | 3169 | 4031 => {
                    Self::Disconnect
                }
                1022 | 1062 | 1586 => Self::Duplicate,
                // Characters that the column or the other side of a comparison does not have.
                1267 | 1366 | 3988 => Self::Characters,
                1406 => Self::Length,
                1048 | 1264 | 1265 | 1451 | 1452 | 4025 => Self::Rejected,
                // No such column, no such table.
                1054 | 1146 => Self::Tables,
                // No right to a database, a table, a column, or to make triggers.
                1044 | 1142 | 1143 | 1227 | 1419 => Self::Denied,
                // Disk full, table full; a write, or the storage engine, failed for that reason.
                1021 | 1114 => Self::Full,
                3 | 1026 if error.message().contains("No space left") => Self::Full,
                1030 if error.message().contains("error 28") => Self::Full,
                _ => Self::Other,
            };
        }
        let code = error.code().unwrap_or_default();
        if let (true, Ok(number)) =
            (error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some(), code.parse::<u32>())
        {
            return match (number & 0xff, number) {
                (5 | 6, _) => Self::Contention,
                (_, 1555 | 2067) => Self::Duplicate,
                (18..=20, _) => Self::Rejected,
                // Full, or no space for the index of the write-ahead log.
                (13, _) | (_, 4874) => Self::Full,
                // SQLite has no number of its own for it.
                (1, _) if error.message().starts_with("no such ") => Self::Tables,
                _ => Self::Other,
            };
        }
        match code.as_ref() {
            "40001" | "40P01" | "55P03" => Self::Contention,
            "23505" => Self::Duplicate,
            // The server became a standby, or was set to be read.
            "25006" => Self::Unfit,
            // Shutdown, too many connections, idle for too long. What was prepared is gone, or somebody else's: there is a pooler
            // that was not seen.
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300" | "26000" | "42P05" => Self::Disconnect,
            "22021" | "22P05" => Self::Characters,
            "22001" => Self::Length,
            "42P01" | "42703" | "3F000" => Self::Tables,
            "42501" => Self::Denied,
            "53100" => Self::Full,
            code if code.starts_with("08") => Self::Disconnect,
            code if code.starts_with("22") || code.starts_with("23") => Self::Rejected,
            _ => Self::Other,
        }
    }
}
