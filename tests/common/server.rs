//! The real binary under test.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Answer, Client, Conf, Request, ends_with_thread, free_port, pause, wait_for};

/// Says at which point a service dies.
const CRASH_AT: &str = "GLANCE_TEST_CRASH_AT";

/// A running glance-api; killed when dropped. When the test fails, the end of its log is shown.
pub(crate) struct Server {
    pub(crate) conf: Conf,
    pub(crate) address: SocketAddr,
    child: Child,
    // Removed after the server has ended.
    _dir: Option<tempfile::TempDir>,
}

impl Server {
    /// SQLite, one file store, no authentication, all in a temporary folder.
    pub(crate) fn simple() -> Self {
        Self::with(|conf| conf)
    }

    /// As [`Server::simple`] with the configuration changed by `change`.
    pub(crate) fn with(change: impl FnOnce(Conf) -> Conf) -> Self {
        Self::with_disk(|conf| ((), change(conf))).0
    }

    /// As [`Server::with`], on a disk that `change` makes in the server's folder.
    pub(crate) fn with_disk<D>(change: impl FnOnce(Conf) -> (D, Conf)) -> (Self, D) {
        let dir = tempfile::Builder::new().prefix("glance-api-test-").tempdir().unwrap();
        let (disk, conf) = change(Conf::new(dir.path(), free_port()));
        let mut server = Self::start(conf);
        server._dir = Some(dir);
        (server, disk)
    }

    /// Starts with exactly this configuration and waits until it answers.
    pub(crate) fn start(conf: Conf) -> Self {
        conf.write();
        let child = spawn(&conf);
        let address = SocketAddr::from(([127, 0, 0, 1], conf.port));
        let mut server = Self { conf, address, child, _dir: None };
        server.wait_ready();
        server
    }

    /// Starts again after an end, on the same folders.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.conf);
        self.wait_ready();
    }

    /// Starts again, to die at a [point](../../src/sys/crash_point.rs) of that name.
    pub(crate) fn start_to_crash_at(&mut self, point: &str) {
        self.child = spawn_with(&self.conf, &[(CRASH_AT, point)]);
        self.wait_ready();
    }

    /// Starts again, and dies at a point before it answers.
    pub(crate) fn crash_at_start(&mut self, point: &str) {
        self.child = spawn_with(&self.conf, &[(CRASH_AT, point)]);
        self.wait_crash();
    }

    /// Waits until the process is dead.
    pub(crate) fn wait_crash(&mut self) {
        assert_eq!(self.wait_end(Duration::from_secs(30)).signal(), Some(9));
    }

    fn wait_ready(&mut self) {
        let (address, log) = (self.address, self.log_path());
        let child = &mut self.child;
        wait_for("the server answers", Duration::from_secs(30), || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("glance-api ended with {status}:\n{}", tail(&log));
            }
            Client::new(address).try_send(&Request::new("GET", "/versions")).ok()
        });
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Sends one request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Answer {
        self.client().send(request)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// SIGSTOP, until the last thread has heard of it.
    pub(crate) fn stop_all_threads(&self) {
        self.signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.pid());
        wait_for("all threads are stopped", Duration::from_secs(20), || {
            let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let is_stopped = |stat: String| stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'));
            fs::read_dir(&threads).unwrap().all(|thread| is_stopped(stat(thread.unwrap()))).then_some(())
        });
    }

    /// Waits for the end of the process.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        wait_for("the server ends", limit, || self.child.try_wait().unwrap())
    }

    /// `kill -9`, as a crash would be.
    pub(crate) fn crash(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait_end(Duration::from_secs(10)).signal(), Some(9));
    }

    /// Waits for what recovery brings about, which looks once a minute: a reload makes it look at once.
    #[track_caller]
    pub(crate) fn wait_for_recovery<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        wait_for(what, limit, || {
            self.signal(Signal::SIGHUP);
            pause(Duration::from_millis(500));
            look()
        })
    }

    /// Name and nice value of each thread.
    pub(crate) fn threads(&self) -> Vec<(String, i32)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
        // Threads come and go.
        let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        let read = |stat: String| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            // Behind the name: the fields from the third on; this is the nineteenth (proc_pid_stat(5)).
            Some((name.to_owned(), rest.split_whitespace().nth(16)?.parse().ok()?))
        };
        stats.map(|stat| read(stat).unwrap()).collect()
    }

    /// Whether a thread of this name waits in the kernel for something else than another thread: a file, that is.
    pub(crate) fn waits_for_files(&self, name: &str) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
        let mut of_name =
            tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
        // The kernel's function in which it waits; 0: none (proc_pid_wchan(5)).
        of_name.any(|task| {
            let waits = fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
            !waits.is_empty() && waits != "0" && !waits.contains("futex")
        })
    }

    /// Memory in use, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// What its file descriptors lead to: paths, and names such as `socket:[1234]`.
    pub(crate) fn open(&self) -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().flatten();
        entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
    }

    /// Open file descriptors, less those of the database: its connections are opened as they are needed and then kept.
    pub(crate) fn descriptors(&self) -> usize {
        let database = self.conf.database();
        let database = database.to_str().unwrap();
        self.open().iter().filter(|target| !target.starts_with(database)).count()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The log as soon as it has the text: a thread of its own writes it, perhaps after the answer.
    pub(crate) fn log_with(&self, text: &str) -> String {
        wait_for(&format!("«{text}» in the log"), Duration::from_secs(20), || {
            Some(self.log()).filter(|log| log.contains(text))
        })
    }

    fn log_path(&self) -> PathBuf {
        self.conf.dir.join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the end of the server's log\n{}", tail(&self.log_path()));
        }
    }
}

fn spawn(conf: &Conf) -> Child {
    spawn_with(conf, &[])
}

fn spawn_with(conf: &Conf, environment: &[(&str, &str)]) -> Child {
    let log = File::options().create(true).append(true).open(conf.dir.join("log")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_glance-api"));
    let mut command = ends_with_thread(if conf.is_unprivileged { Path::new("setpriv") } else { program });
    if conf.is_unprivileged {
        // Without the capabilities by which root reads and writes whatever there is (capabilities(7)).
        command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]).arg(program);
    }
    command
        .arg("--config-file")
        .arg(conf.path())
        .env_remove("NOTIFY_SOCKET")
        .envs(conf.environment.iter().map(|(name, value)| (name, value)))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn tail(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text[text.len().saturating_sub(6000)..]).into_owned()
}
