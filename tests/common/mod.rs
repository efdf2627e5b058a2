//! What the integration tests share: the real binary on a free port with its own folder, its peers, and HTTP to the byte.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

pub(crate) mod balancer;
pub(crate) mod certificates;
pub(crate) mod conf;
pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod latency;
pub(crate) mod peers;
pub(crate) mod server;
pub(crate) mod service_manager;
pub(crate) mod shared_database;
pub(crate) mod uploads;

pub(crate) use conf::Conf;
pub(crate) use http::{Answer, Body, Client, Request};
pub(crate) use server::Server;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Blocks the test's own thread, which runs no async code.
#[expect(clippy::disallowed_methods, reason = "no runtime on the threads of the tests")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Whether what is too long for every run is wanted: `tests/run --thorough`.
pub(crate) fn is_thorough() -> bool {
    std::env::var_os("GLANCE_TEST_THOROUGH").is_some()
}

/// A number that says more of a thorough run, from `GLANCE_TEST_<name>`.
pub(crate) fn parameter(name: &str, default: u64) -> u64 {
    let name = format!("GLANCE_TEST_{name}");
    std::env::var(&name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Looks again and again until `look` finds something; panics with `what` after `limit`.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        pause(Duration::from_millis(20));
    }
}

/// A program that is killed when the thread that has started it ends: it does not outlive a test binary that is killed.
pub(crate) fn ends_with_thread(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port of 127.0.0.1 that was free a moment ago, never handed out twice by this process.
pub(crate) fn free_port() -> u16 {
    use std::collections::HashSet;
    use std::sync::{LazyLock, Mutex};
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}
