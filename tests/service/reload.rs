//! SIGHUP: the whole new configuration, or the old one.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::{Server, Setup, answered, free_port, get, pause, wait_for};

/// Asks in loops while something is done; returns how many were answered. None may fail.
fn under_load(ask: impl Fn() + Sync, done: impl FnOnce()) -> u32 {
    /// Ends the loops, also when a check fails.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (stop, count) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    ask();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stop = Stop(&stop);
        done();
    });
    count.into_inner()
}

/// Whether somebody listens there, who then answers: a connection may be refused, but not be reset once it is there.
#[track_caller]
fn listens(address: SocketAddr) -> bool {
    let answer = get(address, "/versions");
    if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        return false;
    }
    answered(answer);
    true
}

/// A question on a new connection.
fn asking(address: SocketAddr) -> impl Fn() + Sync {
    move || drop(answered(get(address, "/versions")))
}

#[test]
fn a_storm_of_signals_breaks_nothing_and_the_last_word_counts() {
    let server = Setup::new().start();
    let answers = under_load(asking(server.address()), || {
        for round in 0..100 {
            server.configure_more(&format!("debug = {}", round % 2 == 0));
            server.signal(Signal::SIGHUP);
            pause(Duration::from_millis(2));
        }
        server.configure_more("http_keepalive = false");
        server.signal(Signal::SIGHUP);
        wait_for("the last configuration to be in force", || {
            let answer = answered(server.get("/versions"));
            answer.head.to_lowercase().contains("connection: close").then_some(())
        });
    });
    assert!(answers > 2, "{answers}");
    let report = server.report();
    assert_eq!(report["ok"], true);
    assert!(report["started"].as_u64().unwrap() <= 101);
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let mut server = Setup::new().start();
    let mut kept = server.connect();
    answered(kept.get("/versions"));
    server.configure_more("client_socket_timeout = soon");
    let (ok, words) = server.reload();
    assert!(!ok && words.contains("glance-api.conf:4") && words.contains("client_socket_timeout"), "{words}");
    let states = server.await_state("READY=1");
    assert!(states.contains("rejected") && states.contains("glance-api.conf:4"), "{states}");
    answered(kept.get("/versions"));
    answered(server.get("/versions"));
    server.log_with("ERROR glance.service.reload");
    fs::remove_file(server.path("glance-api.conf")).unwrap();
    assert!(!server.reload().0);
    server.configure_more("");
    assert!(server.reload().0);
}

#[test]
fn another_port_is_opened_before_the_old_one_closes() {
    let server = Setup::new().start();
    let mut kept = server.connect();
    answered(kept.get("/versions"));
    let port = free_port();
    server.configure(&format!("[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\n"));
    let (old, new) = (server.address(), SocketAddr::from(([127, 0, 0, 1], port)));
    let ask = || {
        if !listens(old) {
            answered(get(new, "/versions"));
        }
    };
    let answers = under_load(ask, || assert!(server.reload().0));
    assert!(answers > 2, "{answers}");
    answered(get(new, "/versions"));
    wait_for("the old port to close", || (!listens(old)).then_some(()));
    answered(kept.get("/versions"));
}

#[test]
fn the_same_port_moves_to_other_addresses_without_a_refusal() {
    let server = Setup::new().start();
    let hosts = |host: &str| {
        let text = format!("[DEFAULT]\nbind_host = {host}\nbind_port = {}\n", server.port);
        format!("{text}[service]\nallow_unauthenticated_listen = true\n")
    };
    let answers = under_load(asking(server.address()), || {
        for host in ["0.0.0.0", "127.0.0.1", "::", "0.0.0.0", "::", "127.0.0.1"] {
            server.configure(&hosts(host));
            let (ok, words) = server.reload();
            assert!(ok, "{host}: {words}");
            pause(Duration::from_millis(50));
        }
    });
    assert!(answers > 2, "{answers}");
}

#[test]
fn a_port_that_somebody_has_is_refused_at_once() {
    let server = Setup::new().start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    server.configure(&format!("[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\n"));
    let (ok, words) = server.reload();
    assert!(!ok && words.ends_with(&format!("cannot listen on 127.0.0.1:{port}: it is in use")), "{words}");
    answered(server.get("/versions"));
}

#[test]
fn options_that_wait_for_a_restart_are_named() {
    let server = Setup::new().start();
    server.configure_more("workers = 3\nbacklog = 77\ntcp_keepidle = 88");
    let (ok, words) = server.reload();
    assert!(ok && words.contains("workers") && !words.contains("backlog"), "{words}");
    answered(server.get("/versions"));
    let queue = std::process::Command::new("ss").args(["-Hltn", &format!("sport = :{}", server.port)]).output();
    let line = String::from_utf8(queue.expect("ss: apt-get install iproute2").stdout).unwrap();
    assert_eq!(line.split_whitespace().nth(2), Some("77"), "{line}");
}

#[test]
fn the_intent_log_stays_where_it_is_until_a_restart() {
    let server = Setup::new().start();
    let elsewhere = server.path("elsewhere");
    server.configure_more(&format!("[service]\nstate_directory = {}", elsewhere.display()));
    let (ok, words) = server.reload();
    assert!(ok && words.contains("state_directory"), "{words}");
    assert!(!elsewhere.try_exists().unwrap());
    answered(server.get("/versions"));
}

#[test]
fn the_log_follows() {
    let server = Setup::new().start();
    let file = server.path("service.log");
    let options = format!("debug = true\nlog_file = {}", file.display());
    server.configure_more(&options);
    assert!(server.reload().0);
    let read = || fs::read_to_string(&file).unwrap_or_default();
    wait_for("the log to move to the file", || read().contains("configuration reloaded").then_some(()));
    // Moved away, as logrotate does, and opened anew by the next reload.
    fs::rename(&file, server.path("service.log.1")).unwrap();
    server.configure_more(&options.replace("debug = true", "debug = false"));
    assert!(server.reload().0);
    wait_for("the log to come back", || read().contains("[DEFAULT] debug: true → false").then_some(()));

    server.configure_more("log_file = /nowhere/at/all.log");
    let (ok, words) = server.reload();
    assert!(!ok && words.contains("/nowhere/at/all.log"), "{words}");
}

/// The usual configuration with another database.
fn with_database(server: &Server, url: &str) {
    server.configure_more("");
    let path = server.path("glance-api.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}[database]\nconnection = {url}\n")).unwrap();
}

#[test]
fn a_database_that_is_away_is_told_at_once() {
    let server = Setup::new().start();
    with_database(&server, "postgresql://u:s3cret@127.0.0.1:1/n");
    let start = Instant::now();
    let (ok, words) = server.reload();
    assert!(!ok && words.contains("Connection refused") && !words.contains("s3cret"), "{words}");
    assert!(start.elapsed() < Duration::from_secs(5));
    answered(server.get("/versions"));
}

#[test]
fn a_later_signal_supersedes_a_reload_that_waits() {
    let server = Setup::new().start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    with_database(&server, &format!("postgresql://u@{}/n", silent.local_addr().unwrap()));
    server.signal(Signal::SIGHUP);
    let _asked = silent.accept().unwrap();
    server.configure_more("http_keepalive = false");
    let start = Instant::now();
    let (ok, words) = server.reload();
    assert!(ok, "{words}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(answered(server.get("/versions")).head.to_lowercase().contains("connection: close"));
}

#[test]
fn property_protections_follow() {
    let server = Setup::new().start();
    let rules = server.path("protections.conf");
    let create = |name: &str| {
        let body = format!("{{\"{name}\": \"v\"}}");
        let head = format!(
            "POST /v2/images HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        let mut client = server.connect();
        client.send(format!("{head}\r\n{body}").as_bytes()).unwrap();
        answered(client.answer()).status
    };
    let section =
        |name: &str, who: &str| format!("[{name}]\ncreate = {who}\nread = {who}\nupdate = {who}\ndelete = {who}\n");
    fs::write(&rules, section("^open", "@")).unwrap();
    assert_eq!([create("open"), create("shut")], [201, 201]);
    server.configure_more(&format!("property_protection_file = {}", rules.display()));
    assert!(server.reload().0);
    assert_eq!([create("open"), create("shut")], [201, 403]);

    fs::write(&rules, section("^open", "@") + &section("(?=x)", "@")).unwrap();
    let (ok, words) = server.reload();
    let place = format!("[DEFAULT] property_protection_file: {}:6: ", rules.display());
    assert!(!ok && words.contains(&place) && words.contains("glance-api.conf:4: "), "{words}");
    assert_eq!([create("open"), create("shut")], [201, 403]);

    fs::write(&rules, section("^shut", "@")).unwrap();
    assert!(server.reload().0);
    assert_eq!([create("open"), create("shut")], [403, 201]);
}
