//! PostgreSQL and MariaDB from the distribution's packages, each with its own data in a temporary directory and reachable
//! through a Unix socket only; and a proxy before them that cuts, delays and swallows answers.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::pause;

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
            _ => {
                let mut ping = self.mariadb_client();
                ping.args(["-e", "SELECT 1"]);
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
        let mut client = match self.kind {
            Kind::Postgres => {
                let mut client = Command::new(program("psql", "postgresql-client"));
                client.arg("-h").arg(self.folder.path()).args(["-U", "glance", "-d", database, "-AtXq", "-c", sql]);
                client
            }
            Kind::MariaDb => {
                let mut client = self.mariadb_client();
                client.args(["-N", "-B", "-D", database, "-e", sql]);
                client
            }
        };
        let done = client.env("PGPORT", self.port.to_string()).current_dir("/").output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
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

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// PostgreSQL refuses to run as root.
pub(crate) fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|done| done.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// Debian keeps these programs in a directory for each version.
fn postgres(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.is_file());
    found.sort();
    found.pop().unwrap_or_else(|| program(name, "postgresql"))
}

pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; run: apt-get install --no-install-recommends {package}"))
}

/// What happens to a COMMIT on its way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is cut, and the server never sees the COMMIT.
    CutBefore,
    /// The server commits, the connection is cut, and the client never sees the answer.
    CutAfter,
    /// The server commits; the answer is lost, though the connection stays.
    Swallow,
    /// The answer comes so much later.
    Delay(Duration),
}

/// Stands between a service and a database. Ends with the test's process.
pub(crate) struct Proxy {
    kind: Kind,
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// For the next COMMIT; whoever meets it takes it.
    fault: Mutex<Option<Fault>>,
    /// Nobody is let in.
    is_away: AtomicBool,
    /// Nothing is passed on, either way.
    is_stuck: AtomicBool,
    /// Of present connections.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, socket) = (Arc::<State>::default(), server.socket());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.is_away.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                shared.open.lock().unwrap().push(client.try_clone().unwrap());
                pass_on(client, server, &shared);
            }
        });
        Self { kind: server.kind, port, state }
    }

    /// The port of 127.0.0.1 on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The value of `[database] connection`, by way of the proxy.
    pub(crate) fn url(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("postgresql+psycopg2://glance@127.0.0.1:{}/glance", self.port),
            Kind::MariaDb => format!("mysql+pymysql://root@127.0.0.1:{}/glance?charset=utf8mb4", self.port),
        }
    }

    /// Prepares the fault for the next COMMIT, of whichever connection.
    pub(crate) fn fault(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some(fault);
    }

    /// Whether a COMMIT has met the fault.
    pub(crate) fn has_struck(&self) -> bool {
        self.state.fault.lock().unwrap().is_none()
    }

    /// Cuts all connections and lets nobody in, until [`Self::again`].
    pub(crate) fn away(&self) {
        self.state.is_away.store(true, Ordering::SeqCst);
        for client in self.state.open.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Takes everything, also new connections, and keeps it, until [`Self::again`].
    pub(crate) fn stick(&self) {
        self.state.is_stuck.store(true, Ordering::SeqCst);
    }

    pub(crate) fn again(&self) {
        self.state.is_away.store(false, Ordering::SeqCst);
        self.state.is_stuck.store(false, Ordering::SeqCst);
    }
}

impl State {
    /// Waits for as long as nothing is passed on.
    fn wait(&self) {
        while self.is_stuck.load(Ordering::SeqCst) {
            pause(Duration::from_millis(20));
        }
    }
}

/// Copies both ways, in threads of their own.
fn pass_on(client: TcpStream, server: UnixStream, state: &Arc<State>) {
    client.set_nodelay(true).unwrap();
    // What is to happen to the next answer of the server.
    let answer: Arc<Mutex<Option<Fault>>> = Arc::default();
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut to_client, mut from_server) = (client, server);
    let (state, expected, stuck) = (Arc::clone(state), Arc::clone(&answer), Arc::clone(state));
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut buffer) {
            // The drivers send it alone.
            if buffer[..length].windows(6).any(|text| text == b"COMMIT") {
                let fault = state.fault.lock().unwrap().take();
                if fault == Some(Fault::CutBefore) {
                    break;
                }
                *expected.lock().unwrap() = fault;
            }
            state.wait();
            if to_server.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = from_client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
            let fault = answer.lock().unwrap().take();
            match fault {
                Some(Fault::CutBefore | Fault::CutAfter) => break,
                Some(Fault::Swallow) => continue,
                Some(Fault::Delay(time)) => pause(time),
                None => {}
            }
            stuck.wait();
            if to_client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = from_server.shutdown(Shutdown::Both);
    });
}
