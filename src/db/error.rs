//! What can go wrong between us and the database.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

/// The database does not have the tables that this program works with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There is no table at all.
    #[error("the database is empty: `glance-manage db sync` makes its tables")]
    Empty,
    /// There are tables, but no `alembic_version` with a revision in it.
    #[error(
        "the database has tables, but not those of Glance, or their migration was never finished: there is no revision"
    )]
    NoRevision,
    /// An older, a newer, or a half-upgraded state.
    #[error("the tables are at revision {}, this program works with {expected}: `glance-manage db sync` migrates the database", found.join(" and "))]
    Revision { found: Vec<String>, expected: &'static str },
    /// A name that is none of upstream's revisions: a newer release was here, or somebody made a mistake.
    #[error("Can't locate revision identified by '{0}'")]
    UnknownRevision(String),
    /// Somebody else holds the lock for changes of the tables.
    #[error("another program changes the tables; gave up after {} s", .0.as_secs())]
    Locked(Duration),
    /// A pooler, or `max_pool_size`, lends one connection where the tables cannot be changed with less than two.
    #[error(
        "changes of the tables need two connections at a time, and there is only one: give the pooler a larger pool, or connect to \
         the server itself"
    )]
    OneConnection,
}

/// An operation on the database failed. No variant carries a connection URL or a password.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// `[database] connection` cannot be used as it is written.
    #[error("[database] connection: {0}")]
    Url(String),
    /// `[database] slave_connection` cannot be used as it is written.
    #[error("[database] slave_connection: {0}")]
    ReplicaUrl(String),
    /// No connection could be made, or the one in use broke. Safe to try again later.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The server, or SQLite, refuses to open the database: wrong name, wrong password, no right.
    #[error("{0}")]
    Refused(String),
    /// A table or a column is missing.
    #[error("the tables of the database are not those that this program works with: {0}")]
    Tables(String),
    /// The user of the database has no right to do this.
    #[error("the database does not let its user do what is needed: {0}")]
    Denied(String),
    /// There is no space left for what was to be written. Nothing has changed.
    #[error("the database has no space left")]
    Full(#[source] sqlx::Error),
    /// The COMMIT was sent, and what came of it is not known: it may or may not have taken effect. See [`Self::is_unknown`].
    #[error("it is not known whether the database has committed the change")]
    CommitUnknown(#[source] Box<DbError>),
    /// Other transactions were in the way each time.
    #[error("the database is busy; gave up after {attempts} attempts")]
    Contention {
        attempts: u32,
        #[source]
        source: sqlx::Error,
    },
    /// The whole operation, retries included, took too long. Nothing has changed.
    #[error("no answer from the database within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The runtime stopped while the operation ran. Nothing has changed.
    #[error("the operation on the database was interrupted")]
    Interrupted,
    /// The tables are not those that this program knows.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A row with this key is there already, or was and is only marked as deleted.
    #[error("{what} {key} already exists")]
    Duplicate { what: &'static str, key: String },
    /// A client's property that the database does not tell from one of the service's.
    #[error("Attribute '{0}' is reserved.")]
    Reserved(String),
    /// A property that the image has, which the database does not tell from one that the service is to set.
    #[error("The property '{0}' of the image is in the place of one of the service's own. Remove it and try again.")]
    InTheWay(String),
    /// There is no such row.
    #[error("no {what} {key} found")]
    NotFound { what: &'static str, key: String },
    /// The image is no longer in a status from which the change is allowed.
    #[error("cannot transition from {current} to {} in update (wanted from_state={wanted:?})", .next.as_deref().unwrap_or("None"))]
    StateConflict { id: String, current: String, next: Option<String>, wanted: Vec<String> },
    /// Other locations than those that were read belong to the image by now.
    #[error("the locations of image {id} were changed by another request")]
    LocationsChanged { id: String },
    /// The page marker names no image.
    #[error("No image found with ID {0}")]
    MarkerNotFound(String),
    /// The page marker names an image that the viewer may not see.
    #[error("Forbidding request, image {0} not visible")]
    MarkerNotVisible(String),
    /// More tags and properties to filter a list by than the databases bear.
    #[error("Too many filters: {filters} tags and properties, at most {most} are allowed")]
    TooManyFilters { filters: usize, most: usize },
    /// More values in lists to filter by than a statement can have.
    #[error("Too many values to filter by: {values} in lists, at most {most} are allowed")]
    TooManyValues { values: usize, most: usize },
    /// A text holds a character that the database cannot store, such as NUL on PostgreSQL.
    #[error("the database does not take a character of a text")]
    Characters(#[source] sqlx::Error),
    /// A text is longer than its column.
    #[error("the database does not take a text of that length")]
    Length(#[source] sqlx::Error),
    /// The database refused a value: out of range, a reference to nothing.
    #[error("the database does not take a value")]
    Rejected(#[source] sqlx::Error),
    /// A stored value is not what its column promises.
    #[error("unreadable value in column {column}: {reason}")]
    Corrupt { column: String, reason: String },
    /// Any other failure of a statement.
    #[error("the database refused a statement{}", code(.0))]
    Statement(#[source] sqlx::Error),
}

/// The number or the five letters that the database's manual explains.
fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).map_or_else(String::new, |code| format!(" (code {code})"))
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

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match Cause::of(&error) {
            Cause::Contention => Self::Contention { attempts: 1, source: error },
            Cause::Disconnect | Cause::Unfit => Self::Unreachable(error),
            Cause::Characters => Self::Characters(error),
            Cause::Length => Self::Length(error),
            Cause::Rejected => Self::Rejected(error),
            Cause::Tables => Self::Tables(words(&error)),
            Cause::Denied => Self::Denied(words(&error)),
            Cause::Full => Self::Full(error),
            Cause::Duplicate | Cause::Other => Self::Statement(error),
        }
    }
}

/// Whether TLS failed, not the connection below it.
fn is_of_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// What the database says, without the line of its own source that PostgreSQL's driver adds.
fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

impl DbError {
    /// The same about a value that comes from this column.
    pub(super) fn in_column(self, name: &str) -> Self {
        match self {
            Self::Corrupt { reason, .. } => Self::Corrupt { column: name.to_owned(), reason },
            other => other,
        }
    }

    /// What a failure means if it is that of making a connection to the database at this place.
    pub(super) fn of_connecting(error: sqlx::Error, place: &str) -> Self {
        match error {
            // Somebody else than the server, or a server that is set up otherwise: to try again does not help.
            sqlx::Error::Io(error) if is_of_tls(&error) => Self::Refused(format!("database {place}: TLS: {error}")),
            sqlx::Error::Tls(error) => Self::Refused(format!("database {place}: TLS: {error}")),
            sqlx::Error::Io(error) => {
                let text = format!("{place}: {error}");
                Self::Unreachable(sqlx::Error::Io(std::io::Error::new(error.kind(), text)))
            }
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
                let reason = match (number, code.as_str()) {
                    (Some(1049), _) | (None, "3D000") => {
                        return Self::Refused(format!("database {place} does not exist"));
                    }
                    (Some(1045), _) => "the server does not know the user, or the password is wrong",
                    (None, "28P01") => "the server does not take the user's password",
                    (None, "28000") => "the server does not let this user in",
                    (Some(1044), _) | (None, "42501") => "the user has no right to this database",
                    (Some(1130), _) => "the server does not let this host in",
                    (None, "14") => "the file cannot be opened",
                    (None, "26") => "the file is not a database of SQLite",
                    _ => return Self::of_refusal(sqlx::Error::Database(error), place),
                };
                Self::Refused(format!("database {place}: {reason} ({})", error.message()))
            }
            sqlx::Error::Configuration(error) => Self::Refused(format!("database {place}: {error}")),
            other => Self::of_refusal(other, place),
        }
    }

    fn of_refusal(error: sqlx::Error, place: &str) -> Self {
        match Self::from(error) {
            Self::Statement(error) => Self::Refused(format!("database {place}: {}", words(&error))),
            other => other,
        }
    }

    pub(super) fn no_image(id: &str) -> Self {
        Self::NotFound { what: "image", key: id.to_owned() }
    }

    /// Whether the change may have taken effect all the same: the answer to the COMMIT was lost, came too late or was not
    /// waited for. Whoever was about to undo something must look at the database first. After any other error nothing has
    /// changed.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::CommitUnknown(_))
    }

    /// Whether the database, not the request, is at fault, and the same request may succeed a little later.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::CommitUnknown(_)
                | Self::Contention { .. }
                | Self::Timeout(_)
                | Self::Interrupted
                | Self::Full(_)
        )
    }

    /// Whether a text of the request is at fault: the database does not take its characters, or its length.
    pub fn is_of_text(&self) -> bool {
        matches!(self, Self::Characters(_) | Self::Length(_))
    }

    /// What a failure means if it is that of a COMMIT that was sent. Only an answer that says why the change was refused is
    /// a refusal.
    pub(super) fn of_commit(self) -> Self {
        let is_refused = match &self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::Interrupted => false,
            Self::Statement(_) => self.is_duplicate(),
            _ => true,
        };
        if is_refused { self } else { Self::CommitUnknown(Box::new(self)) }
    }

    /// Whether another row refers to one that was to be deleted, as far as that shows.
    pub(crate) fn is_reference(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }

    /// Whether an index was not made because there is one of that name, as MySQL says it.
    pub(super) fn is_known_index(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(error)) = self else { return false };
        error.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|error| error.number() == 1061)
    }

    /// Whether MySQL did not make or drop a table, column, index or trigger because that has been done before.
    pub(super) fn is_done_already(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(error)) = self else { return false };
        let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
        matches!(number, Some(1050 | 1060 | 1061 | 1091 | 1359))
    }

    /// Whether the statement failed because a unique key is taken.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Statement(error) if Cause::of(error) == Cause::Duplicate)
    }

    /// For a statement that inserts what another request may insert as well: the next attempt finds the row of the faster one.
    pub(super) fn again_if_duplicate(self) -> Self {
        match self {
            Self::Statement(source) if Cause::of(&source) == Cause::Duplicate => {
                Self::Contention { attempts: 1, source }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_commit_only_a_refusal_is_certain() {
        let lost = || sqlx::Error::WorkerCrashed;
        for error in [
            DbError::Unreachable(lost()),
            DbError::Timeout(Duration::from_secs(1)),
            DbError::Interrupted,
            DbError::Statement(lost()),
        ] {
            assert!(!error.is_unknown(), "{error}");
            let after = error.of_commit();
            assert!(after.is_unknown() && after.is_unavailable(), "{after}");
        }
        let refused = DbError::Contention { attempts: 1, source: lost() }.of_commit();
        assert!(!refused.is_unknown() && refused.is_unavailable());
        let refused = DbError::Rejected(lost()).of_commit();
        assert!(!refused.is_unknown() && !refused.is_unavailable());
    }
}
