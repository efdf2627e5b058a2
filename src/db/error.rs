//! What can go wrong between us and the database.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use super::failure::{Cause, Failure};
use crate::schema::python::or_none;

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

/// An operation on the database failed. No variant carries a connection URL or a password. What the database or its driver says
/// stands in the source.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// `[database] connection` cannot be used as it is written.
    #[error("[database] connection: {0}")]
    Url(String),
    /// `[database] slave_connection` cannot be used as it is written.
    #[error("[database] slave_connection: {0}")]
    ReplicaUrl(String),
    /// No connection could be made, or the one in use broke. Safe to try again later.
    #[error("the database cannot be reached{}", .0.code())]
    Unreachable(#[source] Failure),
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
    #[error("the database has no space left{}", .0.code())]
    Full(#[source] Failure),
    /// The COMMIT was sent, and what came of it is not known: it may or may not have taken effect. See [`Self::is_unknown`].
    #[error("it is not known whether the database has committed the change")]
    CommitUnknown(#[source] Box<DbError>),
    /// Other transactions were in the way each time.
    #[error("the database is busy; gave up after {attempts} attempts{}", .source.code())]
    Contention {
        attempts: u32,
        #[source]
        source: Failure,
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
    #[error("cannot transition from {current} to {} in update (wanted from_state={wanted:?})", or_none(.next.as_deref()))]
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
    Characters(#[source] Failure),
    /// A text is longer than its column.
    #[error("the database does not take a text of that length")]
    Length(#[source] Failure),
    /// The database refused a value: out of range, a reference to nothing.
    #[error("the database does not take a value")]
    Rejected(#[source] Failure),
    /// A stored value is not what its column promises.
    #[error("unreadable value in column {column}: {reason}")]
    Corrupt { column: String, reason: String },
    /// Any other failure of a statement.
    #[error("the database refused a statement{}", .0.code())]
    Statement(#[source] Failure),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let error = Failure::from(error);
        match error.cause() {
            Cause::Contention => Self::Contention { attempts: 1, source: error },
            Cause::Disconnect | Cause::Unfit => Self::Unreachable(error),
            Cause::Characters => Self::Characters(error),
            Cause::Length => Self::Length(error),
            Cause::Rejected => Self::Rejected(error),
            Cause::Tables => Self::Tables(error.words()),
            Cause::Denied => Self::Denied(error.words()),
            Cause::Full => Self::Full(error),
            Cause::Duplicate | Cause::Other => Self::Statement(error),
        }
    }
}

/// Whether TLS failed, not the connection below it.
fn is_of_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

impl DbError {
    /// The same about a value that comes from this column.
    pub(super) fn in_column(self, name: &str) -> Self {
        match self {
            Self::Corrupt { reason, .. } => Self::Corrupt { column: name.to_owned(), reason },
            other => other,
        }
    }

    /// What a failure means if it is that of making a connection to the database with this label.
    pub(super) fn of_connecting(error: sqlx::Error, label: &str) -> Self {
        match error {
            // Somebody else than the server, or a server that is set up otherwise: to try again does not help.
            sqlx::Error::Io(error) if is_of_tls(&error) => Self::Refused(format!("database {label}: TLS: {error}")),
            sqlx::Error::Tls(error) => Self::Refused(format!("database {label}: TLS: {error}")),
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
                let reason = match (number, code.as_str()) {
                    (Some(1049), _) | (None, "3D000") => {
                        return Self::Refused(format!("database {label} does not exist"));
                    }
                    (Some(1045), _) => "the server does not know the user, or the password is wrong",
                    (None, "28P01") => "the server does not take the user's password",
                    (None, "28000") => "the server does not let this user in",
                    (Some(1044), _) | (None, "42501") => "the user has no right to this database",
                    (Some(1130), _) => "the server does not let this host in",
                    (None, "14") => "the file cannot be opened",
                    (None, "26") => "the file is not a database of SQLite",
                    _ => return Self::of_refusal(sqlx::Error::Database(error), label),
                };
                Self::Refused(format!("database {label}: {reason} ({})", error.message()))
            }
            sqlx::Error::Configuration(error) => Self::Refused(format!("database {label}: {error}")),
            other => Self::of_refusal(other, label),
        }
    }

    fn of_refusal(error: sqlx::Error, label: &str) -> Self {
        match Self::from(error) {
            Self::Statement(error) => Self::Refused(format!("database {label}: {}", error.words())),
            Self::Unreachable(error) => Self::Unreachable(error.at(label)),
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

    /// Whether a statement has named an index that MySQL's table does not have.
    pub(super) fn is_of_index(&self) -> bool {
        matches!(self, Self::Statement(failure) if failure.number() == Some(1176))
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
        matches!(self, Self::Statement(error) if error.number() == Some(1061))
    }

    /// Whether MySQL did not make or drop a table, column, index or trigger because that has been done before.
    pub(super) fn is_done_already(&self) -> bool {
        matches!(self, Self::Statement(error) if matches!(error.number(), Some(1050 | 1060 | 1061 | 1091 | 1359)))
    }

    /// Whether the statement failed because a unique key is taken.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Statement(error) if error.cause() == Cause::Duplicate)
    }

    /// For a statement that inserts what another request may insert as well: the next attempt finds the row of the faster one.
    pub(super) fn again_if_duplicate(self) -> Self {
        match self {
            Self::Statement(source) if source.cause() == Cause::Duplicate => Self::Contention { attempts: 1, source },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_commit_only_a_refusal_is_certain() {
        let lost = || Failure::from(sqlx::Error::WorkerCrashed);
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
