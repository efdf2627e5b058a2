//! `[database] connection` and `slave_connection`, as SQLAlchemy and the drivers behind it read them, turned into the options of
//! our drivers.
//!
//! What decides where or how safely one connects is honoured or refused. Other parameters that have no effect are named.

mod files;
mod keywords;
mod mysql;
mod mysql_tls;
mod option_file;
mod parsed;
mod postgres;
mod url;

use std::path::PathBuf;
use std::time::Duration;

use super::error::DbError;
use crate::config::FileStates;
pub(super) use mysql::MySqlAddress;
use parsed::refused;
pub(super) use parsed::{Parsed, is_strict, sql_mode};
pub(super) use postgres::{PostgresAddress, PostgresServer, SessionKind};
use url::Url;

/// Where the database is. Holds passwords: no `Debug`.
#[derive(Clone)]
pub(super) enum DatabaseAddress {
    Sqlite(SqliteAddress),
    Postgres(Box<PostgresAddress>),
    MySql(Box<MySqlAddress>),
}

/// A file of SQLite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqliteAddress {
    pub(super) path: PathBuf,
    /// How long to wait for a lock of another process.
    pub(super) timeout: Option<Duration>,
}

impl DatabaseAddress {
    /// `parameters` is `connection_parameters`, added to the query of the URL. Reads the files that the URL names.
    ///
    /// # Errors
    /// [`DbError::Url`]; the text holds no secret.
    pub(super) fn parse(url: &str, parameters: &str) -> Result<Parsed<Self>, DbError> {
        let url = Url::parse(url, parameters)?;
        match url.kind() {
            "sqlite" => sqlite(&url).map(|parsed| parsed.map(Self::Sqlite)),
            "postgresql" => {
                PostgresAddress::parse(&url).map(|parsed| parsed.map(|address| Self::Postgres(Box::new(address))))
            }
            "mysql" | "mariadb" => {
                MySqlAddress::parse(&url).map(|parsed| parsed.map(|address| Self::MySql(Box::new(address))))
            }
            other => Err(DbError::Url(format!(
                "{other:?} is not a kind of database that is known; use sqlite, postgresql or mysql"
            ))),
        }
    }

    /// For error texts: the database, and the file or the addresses of the servers.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Sqlite(address) => address.path.display().to_string(),
            Self::Postgres(address) => address.label(),
            Self::MySql(address) => address.label(),
        }
    }
}

/// What tells one database from another, whoever connects to it and by which driver: the kind, the servers' addresses, the name; of
/// SQLite the path. User, password and parameters that do not lead to another server leave it the same. `parameters` is
/// `connection_parameters`.
///
/// # Errors
/// [`DbError::Url`]: it is no URL. One that cannot be used for other reasons may have an identity all the same.
pub fn identity(url: &str, parameters: &str) -> Result<String, DbError> {
    let url = Url::parse(url, parameters)?;
    Ok(match url.kind() {
        "postgresql" => postgres::identity(&url),
        "mysql" | "mariadb" => mysql::identity(&url),
        other => format!("{other}\n\n\n{}", url.database.as_deref().unwrap_or_default()),
    })
}

/// Parameters are those of pysqlite (`sqlalchemy/dialects/sqlite/pysqlite.py`).
fn sqlite(url: &Url) -> Result<Parsed<SqliteAddress>, DbError> {
    if !url.hosts.is_empty() {
        return Err(DbError::Url(
            "a path of SQLite follows three slashes, or four when it is absolute: sqlite:////var/lib/glance/glance.sqlite"
                .to_owned(),
        ));
    }
    if url.flag("uri")? == Some(true) {
        return Err(refused("uri (a path of SQLite is the path of a file, not a file: URI)"));
    }
    let path = match url.database.as_deref() {
        // Each connection would see another one.
        None | Some(":memory:") => {
            return Err(DbError::Url("a database in memory has no tables; name a file".to_owned()));
        }
        Some(path) if path.starts_with("file:") => {
            return Err(DbError::Url("a path of SQLite is the path of a file, not a file: URI".to_owned()));
        }
        Some(path) => PathBuf::from(path),
    };
    let timeout: Option<f64> = url.number("timeout")?;
    let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let known = ["uri", "timeout", "check_same_thread", "cached_statements", "detect_types"];
    let unused = url.parameters().filter(|name| !known.contains(name)).map(str::to_owned).collect();
    Ok(Parsed { address: SqliteAddress { path, timeout }, unused, files: FileStates::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::path::Path;

    use super::*;

    #[test]
    fn sqlite_paths() {
        let expected = [
            ("sqlite:///glance.db", "glance.db"),
            ("sqlite:////var/lib/glance/glance.db", "/var/lib/glance/glance.db"),
            ("sqlite+pysqlite:///a b.db?timeout=2.5&mode=ro", "a b.db"),
            ("sqlite:////home/me@here/g.db", "/home/me@here/g.db"),
        ];
        for (url, path) in expected {
            let Parsed { address, unused, .. } =
                DatabaseAddress::parse(url, "").unwrap_or_else(|error| panic!("{url}: {error}"));
            let DatabaseAddress::Sqlite(found) = address else { panic!("{url}") };
            assert_eq!(found.path, Path::new(path), "{url}");
            let with_query = url.contains('?');
            assert_eq!(found.timeout, with_query.then_some(Duration::from_millis(2500)));
            assert_eq!(unused, if with_query { vec!["mode"] } else { vec![] });
        }
    }

    #[test]
    fn a_database_has_one_identity_however_it_is_reached() {
        let same = [
            &[
                "mysql://glance:old@db/glance",
                "mysql+pymysql://glance:n%40w@db:3306/glance?charset=utf8",
                "mariadb://other@db/glance?ssl_ca=/etc/ca.pem",
            ][..],
            &["mysql://u:p@db:3307/glance"],
            &["mysql://u:p@db2/glance"],
            &["mysql://u:p@db/glance2"],
            &["mysql://u:p@db/glance?unix_socket=/run/m.sock", "mysql://v:q@h2/glance?unix_socket=/run/m.sock"],
            &["postgresql://u:p@db/glance", "postgresql+psycopg2://u:q@db:5432/glance?sslmode=verify-full"],
            &["postgresql:///glance?host=/run/pg", "postgresql://u@elsewhere/glance?host=/run/pg&port=5432"],
            &["postgresql://u:p@db", "postgresql://u:q@db/u"],
            &["sqlite:////var/lib/glance/glance.db", "sqlite+pysqlite:////var/lib/glance/glance.db?timeout=5"],
            &["sqlite:///glance.db"],
        ];
        let mut seen = std::collections::BTreeSet::new();
        for urls in same {
            let identities: Vec<String> = urls.iter().map(|url| identity(url, "").unwrap()).collect();
            assert!(identities.iter().all(|found| *found == identities[0]), "{urls:?}: {identities:?}");
            assert!(seen.insert(identities[0].clone()), "{urls:?} is taken for another database");
        }
        let moved = identity("mysql://u@db/glance", "unix_socket=/run/m.sock").unwrap();
        assert!(seen.contains(&moved), "{moved:?}");
        assert!(identity("glance.db", "").is_err());
    }

    #[test]
    fn errors_say_what_is_wrong_and_keep_secrets() {
        let expected = [
            ("", "form"),
            ("glance.db", "form"),
            ("oracle://u:s3cret@h/n", "oracle"),
            ("mysql://u:s3cret@h:port/n", "port"),
            ("mysql://u:s3cret@[::1/n", "bracket"),
            ("sqlite://s3cret/n", "slashes"),
            ("sqlite://", "memory"),
            ("sqlite:///", "memory"),
            ("sqlite:///:memory:", "memory"),
            ("sqlite:///file:g.db?uri=true", "URI"),
            ("sqlite:///file:g.db", "URI"),
            ("mysql://u:s3cret@h/n?charset=s3cret'", "charset"),
            ("postgresql://u:s3cret@h/n?sslmode=s3cret", "sslmode"),
        ];
        for (url, word) in expected {
            let Some(error) = DatabaseAddress::parse(url, "").err() else { panic!("{url} was taken") };
            let text = format!("{error} {error:?}");
            assert!(text.contains(word), "{url}: {text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(url in "(sqlite|mysql|postgresql|)(://)?[a-z0-9:/@?&=%+\\[\\]. -]*", more in ".*") {
            let _ = DatabaseAddress::parse(&url, &more);
        }
    }
}
