//! MySQL's and MariaDB's addresses: the parameters of PyMySQL's `connect` and of mysqlclient's, and the option files that they
//! name.

use std::path::Path;
use std::time::Duration;

use nix::unistd::{Uid, User};
use sqlx::mysql::MySqlConnectOptions;

use super::mysql_tls;
use super::option_file::{OptionFile, Reader};
use super::parsed::{Parsed, refused};
use super::url::{Host, Url, number};
use crate::config::FileStates;
use crate::db::error::DbError;

/// What has no meaning here and changes nothing about the connection.
const MEANINGLESS: [&str; 4] = ["use_unicode", "binary_prefix", "raise_on_warnings", "use_pure"];
/// What this program honours.
const KNOWN: [&str; 18] = [
    "host",
    "port",
    "user",
    "password",
    "passwd",
    "database",
    "db",
    "unix_socket",
    "charset",
    "collation",
    "sql_mode",
    "init_command",
    "connect_timeout",
    "connection_timeout",
    "read_timeout",
    "read_default_file",
    "read_default_group",
    "ssl",
];
/// What decides where or how safely a driver connects, and cannot be honoured. All other names that begin with `ssl` or `tls`
/// are of this kind too.
const DECISIVE: [&str; 14] = [
    "bind_address",
    "named_pipe",
    "server_public_key",
    "auth_plugin",
    "auth_plugin_map",
    "default_auth",
    "option_files",
    "option_groups",
    "failover",
    "dns_srv",
    "protocol",
    "password1",
    "password2",
    "password3",
];
/// Where the C libraries look for the server on this machine.
const SOCKETS: [&str; 3] = ["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];

/// Where a server of MySQL or MariaDB is, and how to connect. Holds passwords: no `Debug`.
#[derive(Clone)]
pub(in crate::db) struct MySqlAddress {
    /// The servers, in the order in which they are tried. Never empty.
    pub(in crate::db) servers: Vec<MySqlConnectOptions>,
    /// What is set in each connection, as it stands behind `SET`.
    pub(in crate::db) settings: Vec<String>,
    /// Statement of the operator's own for each connection.
    pub(in crate::db) init_command: Option<String>,
    /// How long one server may take to let us in.
    pub(in crate::db) connect_timeout: Option<Duration>,
    /// How long an answer may take.
    pub(in crate::db) read_timeout: Option<Duration>,
}

impl MySqlAddress {
    pub(super) fn parse(url: &Url) -> Result<Parsed<Self>, DbError> {
        let unused = check_names(url)?;
        let reader = match url.driver() {
            None | Some("mysqldb" | "mariadbconnector") => Reader::C,
            Some(_) => Reader::Python,
        };
        let (file, group) = (url.get("read_default_file"), url.get("read_default_group"));
        let options = match (file, group) {
            (None, None) => OptionFile::default(),
            (file, group) => OptionFile::read(file, group, reader)?,
        };
        check_options(&options)?;

        let given =
            |parameter: &str, option: &str| url.get(parameter).or_else(|| options.get(option)).map(str::to_owned);
        let user = url.get("user").map(str::to_owned).or_else(|| url.user.clone());
        let password =
            url.get("password").or_else(|| url.get("passwd")).map(str::to_owned).or_else(|| url.password.clone());
        let database =
            url.get("database").or_else(|| url.get("db")).map(str::to_owned).or_else(|| url.database.clone());
        let or_option = |value: Option<String>, option: &str| {
            value.filter(|text| !text.is_empty()).or_else(|| options.get(option).map(str::to_owned))
        };
        let charset = given("charset", "default-character-set").unwrap_or_else(|| "utf8mb4".to_owned());
        let collation = url.get("collation");
        for (name, text) in [("charset", Some(charset.as_str())), ("collation", collation)] {
            if !text.is_none_or(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')) {
                return Err(DbError::Url(format!("{name} is not a name")));
            }
        }

        let hosts = hosts(url, &options)?;
        let socket = given("unix_socket", "socket");
        let is_local = hosts.iter().all(|host| host.name == "localhost");
        let wants_tcp = options.get("protocol").is_some_and(|name| name.eq_ignore_ascii_case("tcp"));
        let socket = socket.or_else(|| {
            // The C libraries take this name for the server's socket.
            let usual =
                || SOCKETS.iter().find(|path| super::files::is_there(Path::new(path))).map(|path| (*path).to_owned());
            if reader == Reader::C && is_local && !wants_tcp { usual() } else { None }
        });
        let mut connect = MySqlConnectOptions::new()
            .charset(&charset)
            .username(&or_option(user, "user").unwrap_or_else(own_name))
            // `mysql_sql_mode` alone decides the mode; stored times are naive.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None);
        if let Some(collation) = collation {
            connect = connect.collation(collation);
        }
        if let Some(password) = or_option(password, "password") {
            connect = connect.password(&password);
        }
        if let Some(database) = or_option(database, "database") {
            connect = connect.database(&database);
        }
        if let Some(path) = &socket {
            connect = connect.socket(path);
        }
        let mut certificates = FileStates::default();
        let connect = mysql_tls::apply(connect, url, &options, reader, socket.is_some(), &mut certificates)?;
        let servers: Vec<_> = hosts
            .iter()
            .take(if socket.is_some() { 1 } else { hosts.len() })
            .map(|host| connect.clone().host(&host.name).port(host.port.unwrap_or(3306)))
            .collect();

        let timeout = |name: &str| url.number::<u32>(name).map(|seconds| seconds.filter(|&seconds| seconds > 0));
        let connect_timeout = match timeout("connect_timeout")?.or(timeout("connection_timeout")?) {
            None => options.get("connect-timeout").map(|text| number("connect-timeout", text)).transpose()?,
            given => given,
        };
        let address = Self {
            servers,
            settings: url.get("sql_mode").map(super::parsed::sql_mode).transpose()?.into_iter().collect(),
            init_command: given("init_command", "init-command"),
            connect_timeout: connect_timeout.map(|seconds| Duration::from_secs(seconds.into())),
            read_timeout: timeout("read_timeout")?.map(|seconds| Duration::from_secs(seconds.into())),
        };
        Ok(Parsed { address, unused, files: options.into_files().and(certificates) })
    }

    /// For error texts.
    pub(super) fn label(&self) -> String {
        let one = |server: &MySqlConnectOptions| match server.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", server.get_host(), server.get_port()),
        };
        let database = self.servers.first().and_then(MySqlConnectOptions::get_database).unwrap_or_default();
        format!("{database:?} on {}", self.servers.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

/// What tells this database from others; see [`super::identity`].
pub(super) fn identity(url: &Url) -> String {
    let reader = if matches!(url.driver(), None | Some("mysqldb")) { Reader::C } else { Reader::Python };
    let (file, group) = (url.get("read_default_file"), url.get("read_default_group"));
    let options = match (file, group) {
        (None, None) => OptionFile::default(),
        (file, group) => OptionFile::read(file, group, reader).unwrap_or_default(),
    };
    let database = url.get("database").or_else(|| url.get("db")).or(url.database.as_deref());
    let database = database.or_else(|| options.get("database")).unwrap_or_default();
    let address = match url.get("unix_socket").or_else(|| options.get("socket")) {
        Some(socket) => format!("{socket}\n"),
        None => super::parsed::list(&hosts(url, &options).unwrap_or_default(), 3306),
    };
    format!("mysql\n{address}\n{database}")
}

/// Never empty.
fn hosts(url: &Url, options: &OptionFile) -> Result<Vec<Host>, DbError> {
    let mut hosts = url.hosts_of_query()?.unwrap_or_else(|| url.hosts.clone());
    if hosts.is_empty() {
        hosts.push(Host { name: String::new(), port: None });
    }
    let name = options.get("host").unwrap_or("localhost");
    let port = options.get("port").map(|text| number("port", text)).transpose()?;
    for host in &mut hosts {
        if host.name.is_empty() {
            name.clone_into(&mut host.name);
        }
        host.port = host.port.or(port);
    }
    Ok(hosts)
}

/// The parameters that have no effect.
fn check_names(url: &Url) -> Result<Vec<String>, DbError> {
    let mut unused = Vec::new();
    for name in url.parameters() {
        if KNOWN.contains(&name) || MEANINGLESS.contains(&name) || mysql_tls::PARAMETERS.contains(&name) {
            continue;
        }
        if DECISIVE.contains(&name) || name.starts_with("ssl") || name.starts_with("tls") {
            return Err(refused(name));
        }
        unused.push(name.to_owned());
    }
    Ok(unused)
}

/// Most of an option file is for other programs. What concerns safety is not.
fn check_options(options: &OptionFile) -> Result<(), DbError> {
    for name in options.names() {
        let concerns_tls = name.starts_with("ssl-") || name.starts_with("tls-");
        if (concerns_tls && !mysql_tls::OPTIONS.contains(&name)) || name == "bind-address" {
            return Err(refused(&format!("{name} of the option file")));
        }
    }
    Ok(())
}

/// The name that both drivers take where none is given.
fn own_name() -> String {
    User::from_uid(Uid::effective()).ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Parsed<MySqlAddress> {
        MySqlAddress::parse(&Url::parse(url, "").unwrap()).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn refusal(url: &str) -> String {
        let parsed = MySqlAddress::parse(&Url::parse(url, "").unwrap());
        parsed.err().unwrap_or_else(|| panic!("{url} was taken")).to_string()
    }

    #[test]
    fn everything_a_url_can_say() {
        let address = parse(
            "mysql+pymysql://gl%40nce:p%2Fa:s+s@[::1]:3307/images?charset=utf8&collation=utf8_bin&connect_timeout=3\
             &read_timeout=7&init_command=SET+x%3D1&sql_mode=ANSI",
        )
        .address;
        let [server] = address.servers.as_slice() else { panic!() };
        assert_eq!((server.get_username(), server.get_host(), server.get_port()), ("gl@nce", "::1", 3307));
        assert_eq!(
            (server.get_database(), server.get_charset(), server.get_collation()),
            (Some("images"), "utf8", Some("utf8_bin"))
        );
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((address.connect_timeout, address.read_timeout), (seconds(3), seconds(7)));
        assert_eq!(address.init_command.as_deref(), Some("SET x=1"));
        assert_eq!(address.settings, ["SESSION sql_mode = 'ANSI'"]);
        let plain = parse("mysql+pymysql://h").address;
        assert_eq!((plain.servers[0].get_username(), plain.servers[0].get_charset()), (own_name().as_str(), "utf8mb4"));
        assert_eq!((plain.connect_timeout, plain.read_timeout, plain.init_command), (None, None, None));
    }

    #[test]
    fn several_servers_and_sockets() {
        let several = parse("mysql+pymysql://u@a,b:3307,[::1]:1/n").address;
        assert_eq!(several.label(), "\"n\" on a:3306, b:3307, ::1:1");
        let socket = parse("mysql+pymysql://u@a,b/n?unix_socket=/run/m.sock").address;
        assert_eq!(socket.label(), "\"n\" on /run/m.sock");
        assert_eq!(parse("mysql+pymysql://u@/n").address.label(), "\"n\" on localhost:3306");
        assert_eq!(parse("mysql+pymysql://u@:3307/n").address.label(), "\"n\" on localhost:3307");
        assert_eq!(parse("mysql+pymysql://u@x/n?host=y&port=5").address.label(), "\"n\" on y:5");
    }

    #[test]
    fn an_option_file_fills_what_the_url_leaves_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.cnf");
        let text = "[client]\nuser=glance\npassword=secret\nhost=db\nport=3310\nconnect-timeout=4\ninit-command=SELECT 1\n\
                    database=images\ndefault-character-set=latin1\nno-auto-rehash\n[far]\nhost=far\nsocket=/run/far\n";
        std::fs::write(&path, text).unwrap();
        let file = format!("read_default_file={}", path.display());
        let address = parse(&format!("mysql+pymysql:///?{file}")).address;
        assert_eq!((address.label().as_str(), address.servers[0].get_username()), ("\"images\" on db:3310", "glance"));
        assert_eq!(address.servers[0].get_charset(), "latin1");
        assert_eq!(
            (address.connect_timeout, address.init_command.as_deref()),
            (Some(Duration::from_secs(4)), Some("SELECT 1"))
        );
        let own = parse(&format!("mysql+pymysql://me@here:1/n?{file}&charset=utf8")).address;
        assert_eq!((own.label().as_str(), own.servers[0].get_username()), ("\"n\" on here:1", "me"));
        let far = parse(&format!("mysql+pymysql:///n?{file}&read_default_group=far")).address;
        assert_eq!(far.label(), "\"n\" on /run/far");
        assert!(refusal("mysql+pymysql://h/n?read_default_file=/nowhere").contains("/nowhere"));
        for line in ["ssl-cipher=x", "tls_ciphersuites=x", "ssl-crl=/x", "bind-address=::1", "port=x"] {
            std::fs::write(&path, format!("[client]\n{line}\n")).unwrap();
            refusal(&format!("mysql+pymysql:///n?{file}"));
        }
    }

    #[test]
    fn what_is_not_understood_is_told_or_ends_the_start() {
        let parsed = parse("mysql+pymysql://h/n?use_unicode=0&local_infile=1&colour=red");
        assert_eq!(parsed.unused, ["local_infile", "colour"]);
        for name in
            ["ssl_cipher", "ssl_key_password", "ssl_fancy", "tls_ciphersuites", "bind_address", "server_public_key"]
        {
            let text = refusal(&format!("mysql+pymysql://h/n?{name}=s3cret"));
            assert!(text.contains(name) && !text.contains("s3cret"), "{text}");
        }
        for wrong in ["charset=a'b", "collation=a;b", "connect_timeout=x", "sql_mode=a'b", "port=x"] {
            refusal(&format!("mysql+pymysql://h/n?{wrong}"));
        }
    }
}
