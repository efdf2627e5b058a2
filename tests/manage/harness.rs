//! Both tools, and databases to run them on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::database::{Kind, Server};

/// How a tool ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A place for databases of one kind.
pub(crate) struct Place {
    folder: TempDir,
    server: Option<Server>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: None }
    }

    pub(crate) fn server(kind: Kind) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: Some(Server::start(kind)) }
    }

    fn file(&self, database: &str) -> PathBuf {
        self.folder.path().join(format!("{database}.db"))
    }

    /// Makes a database: empty, or with what the one of that name has.
    pub(crate) fn make(&self, database: &str, like: Option<&str>) {
        match (&self.server, like) {
            (Some(server), _) => server.make(database, like),
            (None, Some(like)) => drop(std::fs::copy(self.file(like), self.file(database)).unwrap()),
            (None, None) => {}
        }
    }

    /// The value of `[database] connection`.
    pub(crate) fn url(&self, database: &str) -> String {
        match &self.server {
            Some(server) => server.url_of(database),
            None => format!("sqlite:///{}", self.file(database).display()),
        }
    }

    /// A configuration file for a database.
    pub(crate) fn conf(&self, database: &str) -> PathBuf {
        let url = self.url(database);
        let path = self.folder.path().join(format!("{database}.conf"));
        std::fs::write(&path, format!("[database]\nconnection = {url}\n")).unwrap();
        path
    }

    /// Tables and rows, as the database's own tool writes them.
    pub(crate) fn dump(&self, database: &str) -> String {
        let Some(server) = &self.server else { return dump_sqlite(&self.file(database)) };
        server.dump(database)
    }

    /// Runs SQL on a database of SQLite.
    pub(crate) fn run_sqlite(&self, database: &str, sql: &str) {
        let done = Command::new("sqlite3").arg(self.file(database)).arg(sql).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs SQL on a database of the server; what it gives.
    pub(crate) fn run_in(&self, database: &str, sql: &str) -> String {
        self.the_server().sql_in(database, sql)
    }

    /// The server.
    pub(crate) fn the_server(&self) -> &Server {
        self.server.as_ref().expect("a server")
    }

    /// Ours.
    pub(crate) fn ours(&self, database: &str, arguments: &[&str]) -> Said {
        said(&self.command(database, arguments).output().unwrap())
    }

    pub(crate) fn command(&self, database: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glance-manage"));
        command.arg("--config-file").arg(self.conf(database)).args(arguments).env_remove("RUST_BACKTRACE");
        command
    }
}

pub(crate) fn said(done: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { status: done.status.code().unwrap().into(), stdout: text(&done.stdout), stderr: text(&done.stderr) }
}

fn dump_sqlite(path: &Path) -> String {
    let run = |sql: &str| {
        let done = Command::new("sqlite3").arg(path).arg(sql).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let objects = "SELECT type || ' ' || name || ' ' || replace(replace(coalesce(sql, '-'), char(10), ' '), char(9), ' ') \
                   FROM sqlite_master ORDER BY type, name";
    let objects = run(objects);
    // Blanks are SQLAlchemy's own.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> =
        run(".dump").lines().filter(|line| line.starts_with("INSERT INTO")).map(|line| line.replace('"', "")).collect();
    rows.sort();
    objects.lines().map(words).chain(rows).collect::<Vec<_>>().join("\n")
}

/// Upstream's tool in one process.
pub(crate) struct Upstream {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let python = std::env::var_os("GLANCE_TEST_GLANCE_PYTHON")
            .expect("GLANCE_TEST_GLANCE_PYTHON does not name upstream's Python; tests/peers/peers environment server");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/upstream_manage.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    fn send(&mut self, request: &Value) {
        writeln!(self.input, "{request}").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub(crate) fn run(&mut self, place: &Place, database: &str, arguments: &[&str]) -> Said {
        self.ask(&json!({"conf": place.conf(database), "arguments": arguments}))
    }

    /// A tool of the cache.
    pub(crate) fn run_program(&mut self, program: &str, arguments: &[&str]) -> Said {
        self.ask(&json!({"program": program, "arguments": arguments}))
    }

    fn ask(&mut self, request: &Value) -> Said {
        self.send(request);
        let line = self.line();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Said { status: answer["status"].as_i64().unwrap(), stdout: text("stdout"), stderr: text("stderr") }
    }

    /// Upgrades a database through the revisions, and calls `at` at each.
    pub(crate) fn chain(mut self, place: &Place, database: &str, revisions: &[&str], mut at: impl FnMut(&str)) {
        self.send(&json!({"conf": place.conf(database), "chain": revisions}));
        for revision in revisions {
            assert_eq!(self.line(), *revision);
            at(revision);
            writeln!(self.input).unwrap();
        }
        assert_eq!(self.line(), "");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
