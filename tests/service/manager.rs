//! What passes between the worker and a service manager, played by the test.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::harness::{Client, Setup, answered, pause, wait_for};

/// As systemd makes it for a unit with `NonBlocking=true`.
fn listening() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn setup(listener: &TcpListener) -> Setup {
    let mut setup = Setup::new().managed().socket(listener.try_clone().unwrap());
    setup.port = listener.local_addr().unwrap().port();
    setup
}

#[test]
fn an_inherited_socket_is_served_and_outlives_the_worker() {
    let listener = listening();
    // Before anybody serves: the kernel keeps it.
    let waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut server = setup(&listener).start();
    answered(Client::new(waiting).get("/versions"));
    answered(server.get("/versions"));
    assert_eq!(server.stop().code(), Some(0));

    let queued = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _next = setup(&listener).start();
    answered(Client::new(queued).get("/versions"));
}

#[test]
fn several_sockets_of_several_kinds_are_served() {
    let listener = listening();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let unix = UnixListener::bind(&path).unwrap();
    unix.set_nonblocking(true).unwrap();
    let mut server = setup(&listener).socket(unix).start();
    answered(server.get("/versions"));
    answered(Client::over(UnixStream::connect(&path).unwrap()).get("/versions"));
    assert!(server.stop().success());
    assert!(path.try_exists().unwrap(), "the socket is not the worker's to remove");
}

#[test]
fn each_state_is_told() {
    let listener = listening();
    let mut server = setup(&listener).spawn();
    let ready = server.await_state("READY=1");
    assert!(ready.contains(&format!("STATUS=version {}", env!("CARGO_PKG_VERSION"))), "{ready}");
    assert!(ready.contains(&format!("127.0.0.1:{}", server.port)), "{ready}");

    let mut client = server.connect();
    answered(client.get("/versions"));
    let status = server.await_state("STATUS=");
    assert!(status.contains("open connection"), "{status}");

    server.signal(Signal::SIGHUP);
    let reloading = server.await_state("RELOADING=1");
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "one datagram: {reloading}");
    let ready = server.await_state("READY=1");
    assert!(ready.contains("configuration reloaded"), "{ready}");

    server.signal(Signal::SIGTERM);
    server.await_state("STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!server.path("run/reload.json").try_exists().unwrap());
}

#[test]
fn options_of_the_socket_unit_are_named() {
    let listener = listening();
    let server = setup(&listener).start();
    server.configure_more("backlog = 12");
    let (ok, words) = server.reload();
    assert!(ok && words.contains("backlog (of the socket unit)"), "{words}");
    answered(server.get("/versions"));
}

#[test]
fn a_socket_that_would_block_is_refused() {
    let listener = listening();
    listener.set_nonblocking(false).unwrap();
    let (status, log) = setup(&listener).fail();
    assert!(status == 78 && log.contains("NonBlocking=true"), "{status}: {log}");
}

#[test]
fn what_is_no_listening_stream_is_refused() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (status, log) = Setup::new().managed().socket(datagrams).fail();
    assert!(status == 78 && log.contains("file descriptor 3"), "{status}: {log}");
    let connected = std::net::TcpStream::connect(listening().local_addr().unwrap());
    let listener = listening();
    let connected = connected.or_else(|_| std::net::TcpStream::connect(listener.local_addr().unwrap())).unwrap();
    let (status, log) = Setup::new().managed().socket(connected).fail();
    assert!(status == 78 && log.contains("does not listen"), "{status}: {log}");
}

#[test]
fn a_promised_socket_is_not_replaced_in_silence() {
    let (status, log) = Setup::new().managed().fail();
    assert!(status == 69 && log.contains("passed no socket"), "{status}: {log}");
}

#[test]
fn the_watchdog_is_fed_while_the_worker_turns() {
    let mut server = Setup::new().variable("WATCHDOG_USEC", "600000").start();
    for _ in 0..3 {
        server.await_state("WATCHDOG=1");
    }
    server.signal(Signal::SIGSTOP);
    pause(Duration::from_millis(300));
    server.signal(Signal::SIGCONT);
    server.await_state("WATCHDOG=1");
    // While a reload goes on as well.
    server.signal(Signal::SIGHUP);
    wait_for("another sign of life", || server.notified().contains("WATCHDOG=1").then_some(()));
}

#[test]
fn a_start_that_cannot_be_is_told() {
    for options in ["backlog = many", "default_log_levels = glance"] {
        let mut server = Setup::new().more(options).spawn();
        assert_eq!(server.wait().code(), Some(78));
        let states = wait_for("the failure", || Some(server.notified()).filter(|states| states.contains("failed: ")));
        assert!(states.contains("glance-api.conf:4: [DEFAULT] "), "{states}");
        assert!(states.lines().any(|line| line == "ERRNO=22"), "{states}");
    }
}

#[test]
fn a_start_that_waits_for_its_database_says_so_and_asks_for_time() {
    let listener = listening();
    let mut setup = setup(&listener).variable("OS_DATABASE__CONNECTION", "mysql://u:s3cret@127.0.0.1:1/n");
    for (name, value) in [("MAX_RETRIES", "2"), ("RETRY_INTERVAL", "1")] {
        setup = setup.variable(&format!("OS_DATABASE__{name}"), value);
    }
    let mut server = setup.spawn();
    for _ in 0..2 {
        let states = server.await_state("EXTEND_TIMEOUT_USEC=");
        assert!(states.contains("Connection refused") && !states.contains("s3cret"), "{states}");
    }
    assert_eq!(server.wait().code(), Some(69));
    server.log_with("Connection refused");
}
