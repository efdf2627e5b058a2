//! The suite of the database layer on PostgreSQL and MariaDB, from the distribution's packages, each with its own data in
//! a temporary directory and reachable through a Unix socket only.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::NewImage;
use glance_api::db::{Db, Dialect, images};
use tempfile::TempDir;

extern crate glance_api;

mod common;
mod db_suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql() {
    let mut server = Server::start(Dialect::Postgres);
    exercise(&mut server).await;
    tokio::task::block_in_place(|| reloads_keep_connections(&server));
}

/// The program reloads on the database that [`exercise`] has left.
fn reloads_keep_connections(server: &Server) {
    let name = "reloaded";
    let connection = format!("{}&application_name={name}", server.url());
    let mut service = common::Server::with(|conf| conf.set("database.connection", connection));
    let backends = |service: &common::Server| {
        assert_eq!(service.send(&common::Request::new("GET", "/v2/images")).status, 200);
        server.backends_of(name)
    };
    let before = backends(&service);
    assert!(!before.is_empty());
    for round in 1..=3 {
        service.conf = service.conf.clone().set("DEFAULT.limit_param_default", 10 + round);
        service.conf.write();
        service.signal(nix::sys::signal::Signal::SIGHUP);
        common::wait_for("the reload", Duration::from_secs(20), || {
            (service.log().matches("configuration reloaded").count() == round).then_some(())
        });
        let after = backends(&service);
        assert!(before.is_subset(&after), "{before:?} before, {after:?} after reload {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    let mut server = Server::start(Dialect::MySql);
    exercise(&mut server).await;
}

async fn exercise(server: &mut Server) {
    let db = server.connect().await;
    assert!(db.check_schema().await.unwrap_err().to_string().contains("glance-manage db sync"));
    db.create_schema().await.unwrap();
    db.create_schema().await.unwrap();
    db.check_schema().await.unwrap();
    db_suite::run(&db).await;

    // All connections of the pool are stale now; nobody is to notice.
    let id = db_suite::uuid();
    images::create(&db, NewImage::new(&id)).await.unwrap();
    server.restart();
    assert!(images::get(&db, &id, false).await.unwrap().is_some());
    server.restart();
    images::delete(&db, &id, "deleted", Some(&["queued"])).await.unwrap();
}

/// A server that ends with the test.
struct Server {
    kind: Dialect,
    folder: TempDir,
    process: Option<Child>,
}

impl Server {
    fn start(kind: Dialect) -> Self {
        let folder = tempfile::Builder::new().prefix("glance-db").tempdir_in("/tmp").unwrap();
        // The server runs as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let mut server = Self { kind, folder, process: None };
        match kind {
            Dialect::Postgres => {
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
                    "--user=root",
                    &data,
                ]));
            }
        }
        server.launch();
        match kind {
            Dialect::Postgres => {
                let folder = server.folder.path().to_owned();
                server.run(as_postgres(&postgres("createdb")).arg("-h").arg(folder).args(["-U", "glance", "glance"]));
            }
            _ => {
                let sql = "CREATE DATABASE glance CHARACTER SET utf8mb4";
                let mut client = server.mariadb_client();
                server.run(client.args(["-e", sql]));
            }
        }
        server
    }

    fn launch(&mut self) {
        let (data, folder) = (self.path("data"), self.folder.path());
        let mut command = match self.kind {
            Dialect::Postgres => {
                let mut command = as_postgres(&postgres("postgres"));
                command.args(["-h", "", "-k"]).arg(folder).arg("-D").arg(data);
                command
            }
            _ => {
                let mut command = Command::new(program("mariadbd", "mariadb-server"));
                command.args(["--no-defaults", "--user=root", "--skip-networking"]);
                command.arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={}", self.path("socket").display()));
                command.arg(format!("--pid-file={}", self.path("pid").display()));
                command
            }
        };
        self.process = Some(self.logged(&mut command).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.answers() {
            assert!(Instant::now() < deadline, "the server does not start:\n{}", self.log());
            pause();
        }
    }

    fn answers(&self) -> bool {
        let mut ping = match self.kind {
            Dialect::Postgres => {
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

    fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// Asks the server to end, at once where it has a choice, and waits for it.
    fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = match self.kind {
            // runuser's child is the server.
            Dialect::Postgres => std::fs::read_to_string(self.path("data/postmaster.pid"))
                .ok()
                .and_then(|text| text.lines().next().map(str::to_owned)),
            _ => Some(process.id().to_string()),
        };
        let signal = if self.kind == Dialect::Postgres { "-INT" } else { "-TERM" };
        let told = pid.is_some_and(|pid| Command::new("kill").args([signal, &pid]).status().is_ok_and(|s| s.success()));
        let deadline = Instant::now() + Duration::from_secs(20);
        while told && Instant::now() < deadline {
            if matches!(process.try_wait(), Ok(Some(_))) {
                return;
            }
            pause();
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    fn url(&self) -> String {
        let folder = self.folder.path().display();
        match self.kind {
            Dialect::Postgres => format!("postgresql+psycopg2://glance@/glance?host={folder}"),
            _ => format!("mysql+pymysql://root@localhost/glance?charset=utf8mb4&unix_socket={folder}/socket"),
        }
    }

    /// The processes of PostgreSQL that serve clients of this name.
    fn backends_of(&self, client: &str) -> BTreeSet<String> {
        let query = format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{client}'");
        let mut psql = Command::new(postgres("psql"));
        psql.arg("-h").arg(self.folder.path()).args(["-U", "glance", "-At", "-c", &query, "glance"]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    async fn connect(&self) -> Db {
        let connection = Some(Secret::from(self.url().as_str()));
        let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
        assert_eq!(db.dialect(), self.kind);
        db
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

#[expect(clippy::disallowed_methods, reason = "the test waits for another process, before anything async begins")]
fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
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

fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; run: apt-get install --no-install-recommends {package}"))
}
