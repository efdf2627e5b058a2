//! `[database] connection` as SQLAlchemy reads it (`sqlalchemy/engine/url.py`), turned into the drivers' options.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::DbError;

/// Where the database is. Holds passwords: no `Debug`.
#[derive(Clone)]
pub(super) enum DatabaseAddress {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
    MySql(Box<MySqlConnectOptions>),
}

impl DatabaseAddress {
    /// `parameters` is `connection_parameters`, added to the query of the URL.
    pub(super) fn parse(url: &str, parameters: &str) -> Result<Self, DbError> {
        let mut url = Url::parse(url)?;
        url.query.extend(pairs(parameters));
        match url.kind() {
            "sqlite" => sqlite(&url),
            "postgresql" => postgres(&url).map(|options| Self::Postgres(Box::new(options))),
            "mysql" | "mariadb" => mysql(&url).map(|options| Self::MySql(Box::new(options))),
            other => Err(DbError::Url(format!(
                "{other:?} is not a kind of database that is known; use sqlite, postgresql or mysql"
            ))),
        }
    }

    /// For error texts: the database, and the file or the address of the server.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or_else(|| options.get_username());
                let (host, port) = (options.get_host(), options.get_port());
                match options.get_socket() {
                    Some(socket) => format!("{database:?} on {} (port {port})", socket.display()),
                    None if host.starts_with('/') => format!("{database:?} on {host} (port {port})"),
                    None => format!("{database:?} on {host}:{port}"),
                }
            }
            Self::MySql(options) => {
                let database = options.get_database().unwrap_or_default();
                match options.get_socket() {
                    Some(socket) => format!("{database:?} on {}", socket.display()),
                    None => format!("{database:?} on {}:{}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

/// What tells one database from another, whoever connects to it and by which driver: the kind, the server's address, the name; of
/// SQLite the path. User, password and parameters that do not lead to another server leave it the same. `parameters` is
/// `connection_parameters`.
///
/// # Errors
/// [`DbError::Url`]: it is no URL. One that cannot be used for other reasons may have an identity all the same.
pub fn identity(url: &str, parameters: &str) -> Result<String, DbError> {
    let mut url = Url::parse(url)?;
    url.query.extend(pairs(parameters));
    let (kind, address) = match url.kind() {
        "postgresql" => {
            let host = url.get("host").or(url.host.as_deref()).unwrap_or("localhost");
            let port = url.get("port").map(str::to_owned).or_else(|| url.port.map(|port| port.to_string()));
            ("postgresql", format!("{host}\n{}", port.as_deref().unwrap_or("5432")))
        }
        "mysql" | "mariadb" => match url.get("unix_socket") {
            Some(socket) => ("mysql", format!("{socket}\n")),
            None => {
                let host = url.host.as_deref().unwrap_or("localhost");
                ("mysql", format!("{host}\n{}", url.port.unwrap_or(3306)))
            }
        },
        other => (other, "\n".to_owned()),
    };
    // libpq takes the user's name for that of a database without one.
    let user = url.user.as_deref().filter(|_| kind == "postgresql");
    let database = url.database.as_deref().or(user).unwrap_or_default();
    Ok(format!("{kind}\n{address}\n{database}"))
}

/// The parts of a URL, decoded.
struct Url {
    scheme: String,
    user: Option<String>,
    password: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    query: Vec<(String, String)>,
}

impl Url {
    /// Errors name the part that is wrong and never quote it, since a misplaced `@` makes any part a password.
    fn parse(url: &str) -> Result<Self, DbError> {
        let bad = |text: &str| DbError::Url(text.to_owned());
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| {
                !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_".contains(&b))
            })
            .ok_or_else(|| bad("is not of the form kind://user:password@host:port/name"))?;
        // A user name holds no slash, a password no at sign: both are percent-encoded.
        let (user, password, rest) = match rest.split_once('@') {
            Some((login, after)) => match login.split_once(':') {
                Some((user, password)) if !user.contains('/') => (Some(user), Some(password), after),
                None if !login.contains('/') => (Some(login), None, after),
                _ => (None, None, rest),
            },
            None => (None, None, rest),
        };
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (address, database) =
            rest.split_once('/').map_or((rest, None), |(address, database)| (address, Some(database)));
        let (host, port) = match address.strip_prefix('[').map(|address| address.split_once(']')) {
            Some(None) => return Err(bad("has an IPv6 address without a closing bracket")),
            Some(Some((host, after))) => (host, after.strip_prefix(':').unwrap_or_default()),
            None => address.split_once(':').unwrap_or((address, "")),
        };
        let port = match port {
            "" => None,
            port => Some(port.parse().map_err(|_| bad("has a port that is not a number from 0 to 65535"))?),
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: user.map(|user| decode(user, false)),
            password: password.map(|password| decode(password, false)),
            host: some(host),
            port,
            database: database.and_then(some),
            query: pairs(query),
        })
    }

    /// What follows the plus in the scheme names a Python driver.
    fn kind(&self) -> &str {
        self.scheme.split('+').next().unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Tells of parameters that have no meaning for our drivers. The value may be a secret.
    fn warn_of_others(&self, known: &[&str]) {
        for (parameter, _) in self.query.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            tracing::warn!(%parameter, "parameter of [database] connection is not used");
        }
    }
}

fn decode(text: &str, form: bool) -> String {
    let text = if form { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key, true), decode(value, true)))
        .collect()
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn sqlite(url: &Url) -> Result<DatabaseAddress, DbError> {
    if url.host.is_some() {
        return Err(DbError::Url(
            "a path of SQLite follows three slashes, or four when it is absolute: sqlite:////var/lib/glance/glance.sqlite"
                .to_owned(),
        ));
    }
    url.warn_of_others(&[]);
    match url.database.as_deref() {
        // Each connection would see another one.
        None | Some(":memory:") => Err(DbError::Url("a database in memory has no tables; name a file".to_owned())),
        Some(path) if path.starts_with("file:") => {
            Err(DbError::Url("a path of SQLite is the path of a file, not a file: URI".to_owned()))
        }
        Some(path) => Ok(DatabaseAddress::Sqlite(PathBuf::from(path))),
    }
}

/// Parameters are libpq's (PostgreSQL documentation, "Parameter Key Words").
fn postgres(url: &Url) -> Result<PgConnectOptions, DbError> {
    url.warn_of_others(&[
        "host",
        "port",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "application_name",
        "client_encoding",
    ]);
    // Reads PGHOST and its like, and ~/.pgpass, as libpq does.
    let mut options = PgConnectOptions::new();
    if let Some(host) = url.get("host").or(url.host.as_deref()) {
        options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
    }
    if let Some(port) = url.get("port").map(str::parse).transpose().map_err(|_| bad_number("port"))?.or(url.port) {
        options = options.port(port);
    }
    if let Some(user) = &url.user {
        options = options.username(user);
    }
    if let Some(password) = &url.password {
        options = options.password(password);
    }
    if let Some(database) = &url.database {
        options = options.database(database);
    }
    if let Some(mode) = url.get("sslmode") {
        options = options.ssl_mode(match mode {
            "disable" => PgSslMode::Disable,
            "allow" => PgSslMode::Allow,
            "prefer" => PgSslMode::Prefer,
            "require" => PgSslMode::Require,
            "verify-ca" => PgSslMode::VerifyCa,
            "verify-full" => PgSslMode::VerifyFull,
            _ => {
                return Err(DbError::Url(
                    "sslmode is disable, allow, prefer, require, verify-ca or verify-full".into(),
                ));
            }
        });
    }
    if let Some(path) = url.get("sslrootcert") {
        options = options.ssl_root_cert(path);
    }
    if let Some(path) = url.get("sslcert") {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = url.get("sslkey") {
        options = options.ssl_client_key(path);
    }
    Ok(options.application_name(url.get("application_name").unwrap_or("glance-api")))
}

/// Parameters are those of PyMySQL's `connect` and mysqlclient's.
fn mysql(url: &Url) -> Result<MySqlConnectOptions, DbError> {
    url.warn_of_others(&[
        "charset",
        "unix_socket",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
        "ssl_verify_cert",
        "ssl_verify_identity",
        "ssl_check_hostname",
        "ssl_disabled",
    ]);
    let mut options = MySqlConnectOptions::new()
        .host(url.host.as_deref().unwrap_or("localhost"))
        .charset(url.get("charset").unwrap_or("utf8mb4"))
        // `mysql_sql_mode` alone decides the mode; stored times are naive.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None);
    if !options.get_charset().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(DbError::Url("charset is not a name".to_owned()));
    }
    if let Some(port) = url.port {
        options = options.port(port);
    }
    if let Some(user) = &url.user {
        options = options.username(user);
    }
    if let Some(password) = &url.password {
        options = options.password(password);
    }
    if let Some(database) = &url.database {
        options = options.database(database);
    }
    if let Some(path) = url.get("unix_socket") {
        options = options.socket(path);
    }
    if let Some(path) = url.get("ssl_ca") {
        options = options.ssl_ca(path);
    }
    if let Some(path) = url.get("ssl_cert") {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = url.get("ssl_key") {
        options = options.ssl_client_key(path);
    }
    let wants = |name| url.get(name).is_some_and(is_true);
    let mode = if wants("ssl_disabled") {
        MySqlSslMode::Disabled
    } else if wants("ssl_verify_identity") || wants("ssl_check_hostname") {
        MySqlSslMode::VerifyIdentity
    } else if url.get("ssl_ca").is_some() || wants("ssl_verify_cert") {
        MySqlSslMode::VerifyCa
    } else if url.get("ssl_cert").is_some() {
        MySqlSslMode::Required
    } else {
        // PyMySQL uses no TLS unless told to.
        MySqlSslMode::Disabled
    };
    Ok(options.ssl_mode(mode))
}

fn bad_number(name: &str) -> DbError {
    DbError::Url(format!("{name} is not a number"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> DatabaseAddress {
        DatabaseAddress::parse(url, "").unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn sqlite_paths() {
        let expected = [
            ("sqlite:///glance.db", "glance.db"),
            ("sqlite:////var/lib/glance/glance.db", "/var/lib/glance/glance.db"),
            ("sqlite+pysqlite:///a b.db", "a b.db"),
            ("sqlite:////home/me@here/g.db", "/home/me@here/g.db"),
        ];
        for (url, path) in expected {
            let DatabaseAddress::Sqlite(found) = parse(url) else { panic!("{url}") };
            assert_eq!(found, Path::new(path), "{url}");
        }
    }

    #[test]
    fn mysql_with_everything() {
        let DatabaseAddress::MySql(options) =
            parse("mysql+pymysql://gl%40nce:p%2Fa:s+s@[::1]:3307/images?charset=utf8&unix_socket=/run/m.sock")
        else {
            panic!()
        };
        assert_eq!(options.get_username(), "gl@nce");
        assert_eq!((options.get_host(), options.get_port()), ("::1", 3307));
        assert_eq!(options.get_database(), Some("images"));
        assert_eq!(options.get_charset(), "utf8");
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new("/run/m.sock")));
        assert!(matches!(options.get_ssl_mode(), MySqlSslMode::Disabled));
    }

    #[test]
    fn a_password_may_hold_anything_but_an_at_sign() {
        let url = Url::parse("mysql://u:a/b#c?d:e@h/n").unwrap();
        assert_eq!(url.password.as_deref(), Some("a/b#c?d:e"));
        assert_eq!((url.host.as_deref(), url.database.as_deref()), (Some("h"), Some("n")));
    }

    #[test]
    fn postgres_with_everything() {
        let target = DatabaseAddress::parse(
            "postgresql+psycopg2://u:p@db:5433/glance?sslmode=verify-full",
            "application_name=x",
        );
        let Ok(DatabaseAddress::Postgres(options)) = target else { panic!() };
        assert_eq!((options.get_host(), options.get_port()), ("db", 5433));
        assert_eq!((options.get_username(), options.get_database()), ("u", Some("glance")));
        assert_eq!(options.get_application_name(), Some("x"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
        let DatabaseAddress::Postgres(options) = parse("postgresql:///glance?host=/run/pg&port=5555") else { panic!() };
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new("/run/pg")));
        assert_eq!(options.get_port(), 5555);
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
            ("mysql://u:s3cret@h/n?charset=s3cret'", "charset"),
            ("postgresql://u:s3cret@h/n?sslmode=s3cret", "sslmode"),
        ];
        for (url, word) in expected {
            let Err(error) = DatabaseAddress::parse(url, "") else { panic!("{url} was taken") };
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
