//! PostgreSQL's addresses, as libpq understands them (PostgreSQL's manual, "Parameter Key Words", "SSL Support").

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::keywords::Keywords;
use super::option_file::at_home;
use super::parsed::{Parsed, refused};
use super::url::{Host, Url, number, ports};
use crate::db::error::DbError;

/// Where libpq of the distributions looks for the server's socket.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Where a server of PostgreSQL is, and how to connect. Holds passwords: no `Debug`.
#[derive(Clone)]
pub(in crate::db) struct PostgresAddress {
    /// The servers, in the order in which they are tried. Never empty.
    pub(in crate::db) servers: Vec<PostgresServer>,
    pub(in crate::db) wanted: SessionKind,
    /// The servers are tried in any order, to share the load.
    pub(in crate::db) is_shuffled: bool,
    /// How long one server may take to let us in.
    pub(in crate::db) connect_timeout: Option<Duration>,
    /// A pooler gives each transaction another connection, say the operators.
    pub(in crate::db) is_pooled: bool,
}

/// One server, and the ways to connect to it: each is tried when the one before failed, as `prefer` and `allow` mean it.
#[derive(Clone)]
pub(in crate::db) struct PostgresServer {
    pub(in crate::db) ways: Vec<PgConnectOptions>,
}

/// `target_session_attrs`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::db) enum SessionKind {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl PostgresAddress {
    pub(super) fn parse(url: &Url) -> Result<Parsed<Self>, DbError> {
        Self::parse_with(url, &|name| std::env::var(name).ok())
    }

    fn parse_with(url: &Url, variable: &dyn Fn(&str) -> Option<String>) -> Result<Parsed<Self>, DbError> {
        let (keywords, unused) = Keywords::read(url, variable)?;
        let user = keywords.get("user");
        let mut connect = PgConnectOptions::new_without_pgpass()
            // A pooler knows no such parameter, and there are no such numbers.
            .extra_float_digits(None)
            .application_name(
                keywords
                    .get("application_name")
                    .or_else(|| keywords.get("fallback_application_name"))
                    .unwrap_or("glance-api"),
            );
        let settings = settings(keywords.get("options").unwrap_or_default())?;
        // Even none would be sent as an empty text, which a pooler refuses.
        if !settings.is_empty() {
            connect = connect.options(settings);
        }
        if let Some(user) = user {
            connect = connect.username(user);
        }
        let user = connect.get_username().to_owned();
        let database = keywords.get("dbname").unwrap_or(&user).to_owned();
        connect = connect.database(&database);
        let tls = Tls::read(&keywords)?;
        let mut servers = Vec::new();
        for host in hosts(&keywords)? {
            let port = host.port.unwrap_or(5432);
            let mut connect = connect.clone().port(port);
            let password = keywords.get("password").map(str::to_owned);
            if let Some(password) = password
                .map_or_else(|| keywords.password(&host.name, port, &database, &user), |given| Ok(Some(given)))?
            {
                connect = connect.password(&password);
            }
            let is_socket = host.name.starts_with('/');
            connect = if is_socket { connect.socket(&host.name) } else { connect.host(&host.name) };
            servers.push(PostgresServer { ways: tls.ways(&connect, is_socket)? });
        }
        let shuffle = keywords.get("load_balance_hosts").unwrap_or("disable");
        if !matches!(shuffle, "disable" | "random") {
            return Err(DbError::Url("load_balance_hosts is disable or random".to_owned()));
        }
        let timeout = keywords.get("connect_timeout").map(|text| number::<i64>("connect_timeout", text)).transpose()?;
        let address = Self {
            servers,
            wanted: SessionKind::parse(keywords.get("target_session_attrs").unwrap_or("any"))?,
            is_shuffled: shuffle == "random",
            connect_timeout: timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|&seconds| seconds > 0)
                .map(Duration::from_secs),
            is_pooled: keywords.get("prepared_statement_cache_size") == Some("0"),
        };
        Ok(Parsed { address, unused, files: keywords.into_files() })
    }

    /// For error texts.
    pub(super) fn label(&self) -> String {
        let one = |server: &PostgresServer| {
            let Some(connect) = server.ways.first() else { return String::new() };
            match connect.get_socket() {
                Some(socket) => format!("{} (port {})", socket.display(), connect.get_port()),
                None => format!("{}:{}", connect.get_host(), connect.get_port()),
            }
        };
        let first = self.servers.first().and_then(|server| server.ways.first());
        let database = first.and_then(PgConnectOptions::get_database).unwrap_or_default();
        format!("{database:?} on {}", self.servers.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

impl SessionKind {
    fn parse(text: &str) -> Result<Self, DbError> {
        Ok(match text {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => {
                return Err(DbError::Url(
                    "target_session_attrs is any, read-write, read-only, primary, standby or prefer-standby".to_owned(),
                ));
            }
        })
    }

    /// Whether a session that is like this will do.
    pub(in crate::db) fn is(self, in_recovery: bool, read_only: bool) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !read_only,
            Self::ReadOnly => read_only,
            Self::Primary => !in_recovery,
            Self::Standby | Self::PreferStandby => in_recovery,
        }
    }
}

/// What tells this database from others; see [`super::identity`].
pub(super) fn identity(url: &Url) -> String {
    let Ok((keywords, _)) = Keywords::read(url, &|name| std::env::var(name).ok()) else {
        let hosts = if url.hosts.is_empty() { vec![local()] } else { url.hosts.clone() };
        let name = url.database.as_deref().or(url.user.as_deref()).unwrap_or_default();
        return format!("postgresql\n{}\n{name}", super::parsed::list(&hosts, 5432));
    };
    let mut hosts = hosts(&keywords).unwrap_or_default();
    if keywords.get("host").or_else(|| keywords.get("hostaddr")).is_none() {
        // The same whether its socket is there at the moment or not.
        hosts = vec![Host { port: hosts.first().and_then(|host| host.port), ..local() }];
    }
    // libpq takes the user's name for that of a database without one.
    let name = keywords.get("dbname").or_else(|| keywords.get("user")).unwrap_or_default();
    format!("postgresql\n{}\n{name}", super::parsed::list(&hosts, 5432))
}

fn local() -> Host {
    Host { name: "localhost".to_owned(), port: None }
}

/// Never empty. An address stands for the name that belongs to it.
fn hosts(keywords: &Keywords) -> Result<Vec<Host>, DbError> {
    let (names, addresses) = (keywords.list("host"), keywords.list("hostaddr"));
    if !addresses.is_empty() && !names.is_empty() && addresses.len() != names.len() {
        return Err(DbError::Url("has not as many hostaddr as hosts".to_owned()));
    }
    if !addresses.is_empty() && keywords.get("sslmode") == Some("verify-full") && names != addresses {
        return Err(refused("hostaddr with sslmode=verify-full"));
    }
    let ports = keywords.get("port").map(ports).transpose()?.unwrap_or_default();
    let count = names.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(DbError::Url("has not as many ports as hosts".to_owned()));
    }
    let given = |list: &[String], at: usize| list.get(at).filter(|text| !text.is_empty()).cloned();
    Ok((0..count)
        .map(|at| {
            let port = ports.get(at).or_else(|| ports.first()).copied().flatten();
            let name = given(&addresses, at).or_else(|| given(&names, at)).unwrap_or_else(|| usual_host(port));
            Host { name, port }
        })
        .collect())
}

/// The server's socket where there is one.
fn usual_host(port: Option<u16>) -> String {
    let socket = format!(".s.PGSQL.{}", port.unwrap_or(5432));
    let found = SOCKETS.iter().find(|folder| super::files::is_there(&Path::new(folder).join(&socket)));
    found.map_or_else(|| "localhost".to_owned(), |folder| (*folder).to_owned())
}

/// `options`: settings as they are given to the server's program.
fn settings(text: &str) -> Result<Vec<(String, String)>, DbError> {
    // White space separates, a backslash takes the next sign as it is.
    let mut words: Vec<String> = Vec::new();
    let (mut signs, mut is_inside) = (text.chars(), false);
    while let Some(sign) = signs.next() {
        if sign.is_whitespace() {
            is_inside = false;
            continue;
        }
        if !is_inside {
            words.push(String::new());
            is_inside = true;
        }
        if let Some(word) = words.last_mut() {
            word.push(if sign == '\\' { signs.next().unwrap_or('\\') } else { sign });
        }
    }
    let mut found = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => setting.to_owned(),
            (None, Some("")) => words.next().unwrap_or_default(),
            (None, Some(setting)) => setting.to_owned(),
            (None, None) => return Err(refused("options other than -c name=value")),
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| refused("options other than -c name=value"))?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) || name.is_empty() {
            return Err(refused("options other than -c name=value"));
        }
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}

/// `sslmode` and the files that belong to it.
struct Tls {
    mode: PgSslMode,
    roots: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: PathBuf,
}

impl Tls {
    fn read(keywords: &Keywords) -> Result<Self, DbError> {
        let mode = match (keywords.get("sslmode"), keywords.get("requiressl")) {
            (None, Some("1")) => PgSslMode::Require,
            // As libpq: whoever trusts the authorities of the system has the name verified.
            (None, _) if keywords.get("sslrootcert") == Some("system") => PgSslMode::VerifyFull,
            (None, _) => PgSslMode::Prefer,
            (Some(mode), _) => mode.parse().map_err(|_| {
                DbError::Url("sslmode is disable, allow, prefer, require, verify-ca or verify-full".to_owned())
            })?,
        };
        let noted = |path: PathBuf| {
            keywords.note(&path);
            Some(path)
        };
        let roots = match keywords.get("sslrootcert") {
            Some("system") if matches!(mode, PgSslMode::VerifyFull) => Some(super::files::system_certificates()?),
            Some("system") => return Err(DbError::Url("sslrootcert=system needs sslmode=verify-full".to_owned())),
            // libpq takes a file that is not there for none, unless the server must be verified.
            Some(path) => noted(PathBuf::from(path)).filter(|path| path.try_exists().unwrap_or(true)),
            None => noted(at_home("~/.postgresql/root.crt")).filter(|path| super::files::is_there(path)),
        };
        if roots.is_none() && matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
            return Err(DbError::Url(
                "sslmode demands to verify the server, and the file of sslrootcert is not there".into(),
            ));
        }
        if let (Some(path), false) = (&roots, matches!(mode, PgSslMode::Disable)) {
            super::files::read_certificates(path)?;
            if super::files::is_there(&at_home("~/.postgresql/root.crl")) {
                return Err(refused("~/.postgresql/root.crl"));
            }
        }
        let certificate = keywords.get("sslcert").map(PathBuf::from);
        let certificate = certificate
            .or_else(|| noted(at_home("~/.postgresql/postgresql.crt")).filter(|path| super::files::is_there(path)));
        let key = keywords.get("sslkey").map_or_else(|| at_home("~/.postgresql/postgresql.key"), PathBuf::from);
        Ok(Self { mode, roots, certificate, key })
    }

    /// As libpq: there is no TLS on a Unix socket; `prefer` and `allow` have a second attempt; and where there are root certificates
    /// the server's is verified in every mode.
    fn ways(&self, connect: &PgConnectOptions, is_socket: bool) -> Result<Vec<PgConnectOptions>, DbError> {
        let plain = connect.clone().ssl_mode(PgSslMode::Disable);
        if is_socket {
            return Ok(vec![plain]);
        }
        let mut encrypted = connect.clone();
        if let Some(path) = &self.roots {
            encrypted = encrypted.ssl_root_cert(path);
        }
        if let Some(path) = &self.certificate {
            encrypted = encrypted.ssl_client_cert(path).ssl_client_key(&self.key);
        }
        let verified = if self.roots.is_some() { PgSslMode::VerifyCa } else { PgSslMode::Require };
        Ok(match self.mode {
            PgSslMode::Disable => vec![plain],
            PgSslMode::Allow => vec![plain, encrypted.ssl_mode(verified)],
            PgSslMode::Prefer if self.roots.is_some() => vec![encrypted.ssl_mode(PgSslMode::VerifyCa), plain],
            PgSslMode::Prefer => vec![encrypted.ssl_mode(PgSslMode::Prefer), plain],
            PgSslMode::Require => vec![encrypted.ssl_mode(verified)],
            PgSslMode::VerifyCa => vec![encrypted.ssl_mode(PgSslMode::VerifyCa)],
            PgSslMode::VerifyFull => vec![encrypted.ssl_mode(PgSslMode::VerifyFull)],
        })
    }
}

#[cfg(test)]
mod tests;
