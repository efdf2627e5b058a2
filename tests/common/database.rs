//! PostgreSQL and MariaDB from the distribution's packages, each with its own data in a temporary directory and reachable
//! through a Unix socket only; and a proxy before them.

mod gate;
mod programs;
mod proxy;

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::pause;

pub(crate) use gate::Gate;
pub(crate) use programs::{as_postgres, program};
use programs::{output, postgres};
pub(crate) use proxy::{Fault, Proxy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A server that ends with the test.
pub(crate) struct Server {
    kind: Kind,
    folder: TempDir,
    process: Option<Child>,
    /// What its program is given besides.
    arguments: Vec<String>,
    /// PostgreSQL's.
    port: u16,
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, |_| Vec::new())
    }

    /// PostgreSQL on a TCP port as well, with what `arguments` makes of the server's folder.
    pub(crate) fn on_port(port: u16, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let listen = ["-h", "127.0.0.1", "-p"].map(str::to_owned).into_iter().chain([port.to_string()]);
        let mut server = Self::prepare(Kind::Postgres, |folder| listen.chain(arguments(folder)).collect());
        server.port = port;
        server.begin();
        server
    }

    /// As [`Server::start`], with further arguments for the server's program.
    pub(crate) fn start_with(kind: Kind, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let mut server = Self::prepare(kind, arguments);
        server.begin();
        server
    }

    fn prepare(kind: Kind, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("glance-db").tempdir_in("/tmp").unwrap();
        // The server runs as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let arguments = arguments(folder.path());
        let server = Self { kind, folder, process: None, arguments, port: 5432 };
        match kind {
            Kind::Postgres => {
                let data = server.path("data");
                server
                    .run(as_postgres(&postgres("initdb")).args(["-N", "-U", "glance", "--auth=trust", "-D"]).arg(data));
            }
            _ => {
                let mut install = Command::new(program("mariadb-install-db", "mariadb-server"));
                let data = format!("--datadir={}", server.path("data").display());
                server.run(install.args([
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--user=mysql",
                    &data,
                ]));
            }
        }
        server
    }

    fn begin(&mut self) {
        self.launch();
        match self.kind {
            Kind::Postgres => {
                let folder = self.folder.path();
                self.run(as_postgres(&postgres("createdb")).arg("-h").arg(folder).args(["-U", "glance", "glance"]));
            }
            _ => {
                let sql = "CREATE DATABASE IF NOT EXISTS glance CHARACTER SET utf8mb4";
                let mut client = self.mariadb_client();
                self.run(client.args(["-e", sql]));
            }
        }
    }

    /// The folder of the server's data, socket and log.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn launch(&mut self) {
        let (data, folder) = (self.path("data"), self.folder.path());
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = as_postgres(&postgres("postgres"));
                command.args(["-h", "", "-k"]).arg(folder).arg("-D").arg(data);
                command
            }
            _ => {
                let mut command = Command::new(program("mariadbd", "mariadb-server"));
                command.args(["--no-defaults", "--user=mysql", "--skip-networking"]);
                command.arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={}", self.path("socket").display()));
                command.arg(format!("--pid-file={}", self.path("pid").display()));
                command
            }
        };
        command.args(&self.arguments);
        self.process = Some(self.logged(&mut command).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.answers() {
            // Galera's library fails now and then, where a thread of its own is late on a busy machine.
            let is_over = matches!(self.process.as_mut().map(Child::try_wait), Some(Ok(Some(_))));
            if is_over && self.log().contains("schedparam") {
                self.process = Some(self.logged(&mut command).spawn().unwrap());
            }
            assert!(Instant::now() < deadline, "the server does not start:\n{}", self.log());
            pause(Duration::from_millis(30));
        }
    }

    fn answers(&self) -> bool {
        let mut ping = match self.kind {
            Kind::Postgres => {
                let mut ping = Command::new(postgres("pg_isready"));
                ping.arg("-h").arg(self.folder.path());
                ping
            }
            // A node of Galera answers before it is ready, but not what is in tables.
            _ => {
                let mut ping = self.mariadb_client();
                ping.args(["-e", "SELECT COUNT(*) FROM mysql.user"]);
                ping
            }
        };
        self.logged(&mut ping).status().is_ok_and(|status| status.success())
    }

    fn mariadb_client(&self) -> Command {
        let mut command = Command::new(program("mariadb", "mariadb-client"));
        command.args(["--no-defaults", "-u", "root"]).arg(format!("--socket={}", self.path("socket").display()));
        command
    }

    /// Ends it and starts it again.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// As [`Self::restart`], with other arguments than it had.
    pub(crate) fn restart_with(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
        self.restart();
    }

    /// Asks the server to end, at once where it has a choice, and waits for it.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = match self.kind {
            // runuser's child is the server.
            Kind::Postgres => std::fs::read_to_string(self.path("data/postmaster.pid"))
                .ok()
                .and_then(|text| text.lines().next().map(str::to_owned)),
            _ => Some(process.id().to_string()),
        };
        let signal = if self.kind == Kind::Postgres { "-INT" } else { "-TERM" };
        let told = pid.is_some_and(|pid| Command::new("kill").args([signal, &pid]).status().is_ok_and(|s| s.success()));
        let deadline = Instant::now() + Duration::from_secs(20);
        while told && Instant::now() < deadline {
            if matches!(process.try_wait(), Ok(Some(_))) {
                return;
            }
            pause(Duration::from_millis(30));
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    /// The value of `[database] connection`, by way of the server's socket.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.path().display();
        match self.kind {
            Kind::Postgres if self.port == 5432 => format!("postgresql+psycopg2://glance@/glance?host={folder}"),
            Kind::Postgres => format!("postgresql+psycopg2://glance@/glance?host={folder}&port={}", self.port),
            Kind::MariaDb => {
                format!("mysql+pymysql://root@localhost/glance?charset=utf8mb4&unix_socket={folder}/socket")
            }
        }
    }

    /// Runs SQL as the owner of everything; returns what it gives, bare.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.sql_in("glance", sql)
    }

    /// As [`Self::sql`], in another database.
    pub(crate) fn sql_in(&self, database: &str, sql: &str) -> String {
        let mut client = self.client(database);
        client.args([if self.kind == Kind::Postgres { "-c" } else { "-e" }, sql]);
        let done = client.output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// The database's own, which writes what SQL gives bare.
    fn client(&self, database: &str) -> Command {
        let mut client = match self.kind {
            Kind::Postgres => {
                let mut client = Command::new(program("psql", "postgresql-client"));
                client.arg("-h").arg(self.folder.path()).args(["-U", "glance", "-d", database, "-AtXq"]);
                client
            }
            Kind::MariaDb => {
                let mut client = self.mariadb_client();
                client.args(["-N", "-B", "-D", database]);
                client
            }
        };
        client.env("PGPORT", self.port.to_string()).current_dir("/");
        client
    }

    /// The value of `[database] connection` for another database of the server.
    pub(crate) fn url_of(&self, database: &str) -> String {
        self.url().replacen("/glance?", &format!("/{database}?"), 1)
    }

    /// Makes another database: empty, or with what the one of that name has.
    pub(crate) fn make(&self, database: &str, like: Option<&str>) {
        match self.kind {
            Kind::Postgres => {
                let template = like.unwrap_or("template0");
                self.sql(&format!("CREATE DATABASE {database} TEMPLATE {template}"));
            }
            Kind::MariaDb => {
                self.sql(&format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"));
                if let Some(like) = like {
                    let dump = self.mariadb_dump(like, &["--triggers"]);
                    let file = self.path("dump.sql");
                    std::fs::write(&file, dump).unwrap();
                    let mut client = self.mariadb_client();
                    let done = client.args(["-D", database]).stdin(File::open(file).unwrap()).output().unwrap();
                    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
                }
            }
        }
    }

    /// What the server's own tool writes: the tables, and all rows in an order that does not depend on who wrote when.
    pub(crate) fn dump(&self, database: &str) -> String {
        let (schema, rows) = match self.kind {
            Kind::Postgres => {
                let dump = |what: &[&str]| {
                    let mut tool = Command::new(postgres("pg_dump"));
                    tool.arg("-h")
                        .arg(self.folder.path())
                        .args(["-U", "glance", "--no-owner"])
                        .args(what)
                        .arg(database);
                    output(tool.current_dir("/"))
                };
                (dump(&["--schema-only"]), dump(&["--data-only", "--column-inserts"]))
            }
            Kind::MariaDb => (
                self.mariadb_dump(database, &["--no-data", "--skip-triggers", "--skip-add-drop-table"]),
                self.mariadb_dump(
                    database,
                    &["--no-create-info", "--skip-triggers", "--complete-insert", "--skip-extended-insert"],
                ),
            ),
        };
        // Some versions of pg_dump write a word that nobody can guess.
        let schema =
            schema.lines().filter(|line| !line.starts_with("\\") && !line.starts_with("--") && !line.is_empty());
        let mut rows: Vec<&str> = rows.lines().filter(|line| line.starts_with("INSERT ")).collect();
        rows.sort_unstable();
        schema.chain(rows).collect::<Vec<_>>().join("\n")
    }

    fn mariadb_dump(&self, database: &str, what: &[&str]) -> String {
        let mut tool = Command::new(program("mariadb-dump", "mariadb-client"));
        tool.args(["--no-defaults", "-u", "root", "--skip-comments"]);
        output(tool.arg(format!("--socket={}", self.path("socket").display())).args(what).arg(database))
    }

    /// Connections that the server has taken since it started.
    pub(crate) fn connections(&self) -> u64 {
        let text = match self.kind {
            Kind::Postgres => self.sql("SELECT sessions FROM pg_stat_database WHERE datname = 'glance'"),
            Kind::MariaDb => self
                .sql("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'CONNECTIONS'"),
        };
        text.parse().unwrap()
    }

    /// The socket on which the server listens.
    pub(crate) fn socket(&self) -> PathBuf {
        match self.kind {
            Kind::Postgres => self.path(&format!(".s.PGSQL.{}", self.port)),
            Kind::MariaDb => self.path("socket"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, command: &mut Command) {
        let done = self.logged(command).status();
        assert!(done.as_ref().is_ok_and(|status| status.success()), "{command:?}: {done:?}\n{}", self.log());
    }

    fn logged<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let log = || File::options().create(true).append(true).open(self.path("log")).unwrap();
        // A server of MariaDB that starts removes the temporary tables of others from a folder that they share.
        command.env("PGPORT", self.port.to_string()).env("TMPDIR", self.folder.path());
        command.current_dir("/").stdin(Stdio::null()).stdout(log()).stderr(log())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
