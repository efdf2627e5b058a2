//! Own sockets: where, for whom, and what if somebody is there already.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use super::harness::{Client, Setup, answered, free_port, wait_for};

#[test]
fn strangers_are_not_let_in_without_authentication() {
    for host in ["0.0.0.0", "::", ""] {
        let text = format!("[DEFAULT]\nbind_host = {host}\nbind_port = {}\n", free_port());
        let (status, log) = Setup::new().options(&text).fail();
        assert!(status == 78 && log.contains("allow_unauthenticated_listen"), "{host}: {status}: {log}");
    }
    for host in ["::", ""] {
        let port = free_port();
        let text = format!(
            "[DEFAULT]\nbind_host = {host}\nbind_port = {port}\n[service]\nallow_unauthenticated_listen = true\n"
        );
        let _server = Setup::new().options(&text).start();
        // Both families.
        answered(Client::new(TcpStream::connect(("127.0.0.1", port)).unwrap()).get("/versions"));
        if TcpListener::bind("[::1]:0").is_ok() {
            answered(Client::new(TcpStream::connect(("::1", port)).unwrap()).get("/versions"));
        }
    }
}

#[test]
fn a_name_means_all_its_addresses() {
    let server = Setup::new();
    let port = server.port;
    let server = server.options(&format!("[DEFAULT]\nbind_host = localhost\nbind_port = {port}\n")).start();
    answered(server.get("/versions"));
    let (status, log) = Setup::new().options("[DEFAULT]\nbind_host = no.such.host.invalid\n").fail();
    assert!(status == 69 && log.contains("no.such.host.invalid"), "{status}: {log}");
}

#[test]
fn an_address_in_use_is_waited_for() {
    let setup = Setup::new();
    let occupant = TcpListener::bind(("127.0.0.1", setup.port)).unwrap();
    let mut server = setup.spawn();
    let states = server.await_state("EXTEND_TIMEOUT_USEC=");
    assert!(states.contains("in use"), "{states}");
    drop(occupant);
    server.await_state("READY=1");
    answered(server.get("/versions"));
}

#[test]
fn a_start_that_waits_can_be_stopped() {
    let setup = Setup::new();
    let _occupant = TcpListener::bind(("127.0.0.1", setup.port)).unwrap();
    let mut server = setup.spawn();
    server.await_state("EXTEND_TIMEOUT_USEC=");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_unix_socket_takes_the_place_of_the_port() {
    let setup = Setup::new();
    let (path, port) = (setup.path("api.sock"), setup.port);
    let mut server = setup.more(&format!("[service]\nlisten_unix = {}", path.display())).start();
    answered(Client::over(UnixStream::connect(&path).unwrap()).get("/versions"));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(server.stop().success());
    assert!(!path.try_exists().unwrap());
}

#[test]
fn one_thread_is_enough() {
    // Threads that block have the name of the others, and few are needed so far.
    let threads = |workers: usize| {
        let server = Setup::new().more(&format!("workers = {workers}")).start();
        let mut kept = server.connect();
        answered(kept.get("/versions"));
        answered(server.get("/versions"));
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap().flatten();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
        tasks.filter_map(name).filter(|name| name.trim() == "glance-api").count()
    };
    let (zero, many) = (threads(0), threads(20));
    assert!(zero + 15 < many, "{zero} threads without workers, {many} with twenty");
}

#[test]
fn without_a_configuration_it_shows_how_to_use_it() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let out = home.path().join("out");
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_glance-api"))
        .env_clear()
        .env("HOME", home.path())
        .env("OS_DEFAULT__BIND_PORT", port.to_string())
        .stdout(std::fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let mut child = Kill(child);
    let shown = wait_for("the welcome", || {
        assert!(child.0.try_wait().unwrap().is_none(), "ended");
        let shown = std::fs::read_to_string(&out).unwrap();
        (shown.matches("curl").count() == 3 && shown.ends_with("\n\n")).then_some(shown)
    });
    assert!(shown.contains(&format!("http://127.0.0.1:{port}/v2/images")), "{shown}");
    answered(Client::new(TcpStream::connect(("127.0.0.1", port)).unwrap()).get("/versions"));
}

struct Kill(std::process::Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
