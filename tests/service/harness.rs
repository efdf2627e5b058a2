//! Starts the program, plays the service manager, speaks HTTP by the byte.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::service_manager::ServiceManager;

/// Nothing here takes longer unless it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(45);

/// A directory with a configuration, from which the program can be started.
pub(crate) struct Setup {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    environment: Vec<(String, String)>,
    sockets: Vec<OwnedFd>,
    /// Most descriptors that it may have.
    descriptors: Option<usize>,
    manager: ServiceManager,
}

/// The program at work; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
    manager: ServiceManager,
}

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[expect(clippy::disallowed_methods, reason = "no runtime on a test's own thread")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until there is something to see.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LONG, "waited in vain: {what}");
        pause(Duration::from_millis(10));
    }
}

impl Setup {
    /// On loopback, with its own database and store.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let manager = ServiceManager::at(&directory.path().join("notify"));
        fs::create_dir(directory.path().join("run")).unwrap();
        let (environment, sockets) = (Vec::new(), Vec::new());
        let setup = Self { directory, port: free_port(), environment, sockets, descriptors: None, manager };
        let (port, notify) = (setup.port, setup.path("notify"));
        setup
            .variable("NOTIFY_SOCKET", &notify.display().to_string())
            .options(&format!("[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\n"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the configuration, except for what makes the program start at all.
    pub(crate) fn options(self, text: &str) -> Self {
        configure(self.directory.path(), text);
        self
    }

    /// More lines behind the usual `[DEFAULT]` section.
    pub(crate) fn more(self, text: &str) -> Self {
        let port = self.port;
        self.options(&format!("[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\n{text}\n"))
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As if systemd had started it as a service.
    pub(crate) fn managed(self) -> Self {
        self.variable("INVOCATION_ID", "0123456789abcdef0123456789abcdef")
    }

    /// Passes a socket: at most two.
    pub(crate) fn socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push(socket.into());
        self
    }

    /// As after `ulimit -n`.
    pub(crate) fn descriptors(mut self, limit: usize) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Starts without waiting.
    pub(crate) fn spawn(self) -> Server {
        let program = env!("CARGO_BIN_EXE_glance-api");
        let file = self.path("glance-api.conf");
        let mut command = if let Some(limit) = self.descriptors {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\"")).arg(program);
            shell
        } else if self.sockets.is_empty() {
            Command::new(program)
        } else {
            // The descriptors arrive as standard input and output, and go to where systemd puts them.
            let mut shell = Command::new("sh");
            let count = self.sockets.len();
            let script = match count {
                1 => "exec 3<&0 0</dev/null; ",
                _ => "exec 3<&0 4<&1 0</dev/null 1>/dev/null; ",
            };
            shell.arg("-c").arg(format!("{script} LISTEN_PID=$$ LISTEN_FDS={count} exec \"$0\" \"$@\"")).arg(program);
            shell
        };
        command.arg("--config-file").arg(file);
        for name in ["INVOCATION_ID", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command.env("RUNTIME_DIRECTORY", self.path("run")).envs(self.environment);
        command
            .stdin(Stdio::null())
            .stdout(log(self.directory.path(), "out"))
            .stderr(log(self.directory.path(), "err"));
        let mut sockets = self.sockets.into_iter();
        if let Some(socket) = sockets.next() {
            command.stdin(socket);
        }
        if let Some(socket) = sockets.next() {
            command.stdout(socket);
        }
        let child = command.spawn().unwrap();
        Server { child, port: self.port, directory: self.directory, manager: self.manager }
    }

    /// Starts and waits until requests are answered.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        let mut server = self.spawn();
        server.await_state("READY=1");
        server
    }

    /// Starts what is not expected to live; returns the exit status and what was said.
    pub(crate) fn fail(self) -> (i32, String) {
        let mut server = self.spawn();
        let status = server.wait();
        (status.code().unwrap(), server.log())
    }
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Time of processors that it has used, in hundredths of a second (`proc_pid_stat(5)`).
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>();
        Duration::from_millis(ticks * 10)
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("err")).unwrap_or_default()
    }

    /// The log as soon as it has the text: a thread of its own writes it, perhaps after the answer.
    pub(crate) fn log_with(&self, text: &str) -> String {
        wait_for(&format!("«{text}» in the log"), || Some(self.log()).filter(|log| log.contains(text)))
    }

    pub(crate) fn configure(&self, text: &str) {
        configure(self.directory.path(), text);
    }

    /// More lines behind the usual `[DEFAULT]` section.
    pub(crate) fn configure_more(&self, text: &str) {
        self.configure(&format!("[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {}\n{text}\n", self.port));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Reloads and waits for the outcome: whether it took effect, and the words about it.
    #[track_caller]
    pub(crate) fn reload(&self) -> (bool, String) {
        let begun = self.report()["started"].as_u64().unwrap();
        self.signal(Signal::SIGHUP);
        let report = wait_for("the end of the reload", || {
            Some(self.report()).filter(|report| report["completed"].as_u64().unwrap() > begun)
        });
        (report["ok"].as_bool().unwrap(), report["message"].as_str().unwrap().to_owned())
    }

    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path("run/reload.json")).unwrap()).unwrap()
    }

    /// The next datagram to the service manager.
    #[track_caller]
    pub(crate) fn notified(&self) -> String {
        let next = self.manager.next(LONG);
        next.unwrap_or_else(|| panic!("nothing is said any more; the log:\n{}", self.log())).1
    }

    /// The next datagram that has this line.
    #[track_caller]
    pub(crate) fn await_state(&mut self, line: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some((_, states)) = self.manager.next(Duration::from_secs(1)) {
                if states.lines().any(|state| state.starts_with(line)) {
                    return states;
                }
            } else if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended with {status} before {line}; the log:\n{}", self.log());
            }
            assert!(start.elapsed() < LONG, "never said {line}; the log:\n{}", self.log());
        }
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the program", || self.child.try_wait().unwrap())
    }

    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    pub(crate) fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address()).unwrap())
    }

    /// A request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> io::Result<Answer> {
        get(self.address(), path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}", self.log());
        }
    }
}

/// A request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    Client::new(TcpStream::connect(address)?).get(path)
}

fn log(directory: &Path, name: &str) -> fs::File {
    fs::OpenOptions::new().create(true).append(true).open(directory.join(name)).unwrap()
}

/// Written whole at once, as an administrator's tools do.
fn configure(directory: &Path, text: &str) {
    let always = format!(
        "[database]\nconnection = sqlite:///{0}/glance.db\n[glance_store]\nfilesystem_store_datadir = {0}/images\n",
        directory.display()
    );
    let new = directory.join("new.conf");
    fs::write(&new, format!("{text}\n{always}")).unwrap();
    fs::rename(new, directory.join("glance-api.conf")).unwrap();
}

/// One connection.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    /// Bytes that came behind the last answer.
    rest: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client<TcpStream> {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, rest: Vec::new() }
    }

    /// Whether no further answer comes, and the server closes.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.answer().is_err() && self.closed_within(LONG)
    }

    /// Whether the server has closed, waiting for it a while.
    pub(crate) fn closed_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        let closed = match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        self.stream.set_read_timeout(Some(LONG)).unwrap();
        closed
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, rest: Vec::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        self.answer()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next answer, with all of its body.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut data = std::mem::take(&mut self.rest);
        let end = loop {
            if let Some(at) = data.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut data)?;
        };
        let mut body = data.split_off(end);
        let head = String::from_utf8(data).unwrap();
        let value = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length = value("content-length").map_or(0, |value| value.parse().unwrap());
        while body.len() < length {
            self.more(&mut body)?;
        }
        self.rest = body.split_off(length);
        Ok(Answer { status: head[9..12].parse().unwrap(), head, body })
    }

    fn more(&mut self, data: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 65536];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        data.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

/// Whether the answer is one of HTTP at all: what it says is not this file's concern.
#[track_caller]
pub(crate) fn answered(answer: io::Result<Answer>) -> Answer {
    let answer = answer.expect("no answer");
    assert!((200..500).contains(&answer.status), "{answer:?}");
    answer
}
