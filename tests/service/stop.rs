//! The end of a worker.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::data;
use super::harness::{Server, Setup, answered, pause, wait_for};

#[test]
fn idle_connections_do_not_hold_a_stop_up() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Setup::new().start();
        let mut kept = server.connect();
        answered(kept.get("/versions"));
        let _silent = server.connect();
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(kept.closed_within(Duration::from_secs(1)));
    }
}

#[test]
fn a_request_that_comes_with_the_signal_is_answered() {
    for _ in 0..10 {
        let mut server = Setup::new().start();
        let mut fresh = server.connect();
        let mut kept = server.connect();
        answered(kept.get("/versions"));
        fresh.send(b"GET /versions HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        kept.send(b"GET /versions HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        server.signal(Signal::SIGTERM);
        answered(fresh.answer());
        answered(kept.answer());
        assert!(server.wait().success());
    }
}

#[test]
fn an_upload_in_flight_finishes() {
    let mut server = Setup::new().start();
    let id = data::create(&server);
    let mut upload = data::Upload::begin(&server, &id, 1000);
    upload.send(500);
    server.signal(Signal::SIGTERM);
    let stopping = server.await_state("STOPPING=1");
    assert!(stopping.contains("STATUS="), "{stopping}");
    for _ in 0..25 {
        pause(Duration::from_millis(100));
        upload.send(20);
    }
    assert!(server.child.try_wait().unwrap().is_none(), "ended with a request in flight");
    assert_eq!(upload.finish().status, 204);
    assert_eq!(server.wait().code(), Some(0));
    assert!(std::iter::from_fn(|| Some(server.notified())).take(20).any(|said| said.contains("EXTEND_TIMEOUT_USEC=")));
}

/// Begins an import of so many bytes from a web server; gives the connection on which they are asked for.
fn import(server: &Server, web: &TcpListener, length: usize) -> TcpStream {
    let id = data::create(server);
    let body = format!(r#"{{"method": {{"name": "web-download", "uri": "http://{}/"}}}}"#, web.local_addr().unwrap());
    let mut client = server.connect();
    let head = format!(
        "POST /v2/images/{id}/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send((head + &body).as_bytes()).unwrap();
    assert_eq!(client.answer().unwrap().status, 202);
    let (mut asked, _) = web.accept().unwrap();
    let request = BufReader::new(asked.try_clone().unwrap()).lines();
    assert!(request.map(Result::unwrap).any(|line| line.is_empty()), "the end of the request");
    write!(asked, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
    asked
}

#[test]
fn an_import_in_flight_finishes_and_gets_more_time_while_its_data_comes() {
    const PIECE: usize = 1000;
    const PIECES: usize = 20;
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = format!(
        "[import_filtering_opts]\nallowed_hosts = [127.0.0.1]\nallowed_ports = [{}]",
        web.local_addr().unwrap().port()
    );
    let mut server = Setup::new().more(&ports).start();
    let mut source = import(&server, &web, PIECE * PIECES);
    server.signal(Signal::SIGTERM);
    server.await_state("STOPPING=1");
    let asks = |said: &str| said.contains("EXTEND_TIMEOUT_USEC=");
    // Something is said each second.
    let mut send = || source.write_all(&[b'd'; PIECE]).unwrap();
    let mut pieces = 0;
    let said = wait_for("a request for more time", || {
        (pieces < PIECES / 2).then(|| {
            send();
            pieces += 1;
        });
        Some(server.notified()).filter(|said| asks(said))
    });
    assert!(said.contains("STATUS=stopping: waiting for 1 task"), "{said}");
    // What has been sent may count once more; then the import hangs.
    let hanging: Vec<String> = (0..6).map(|_| server.notified()).skip(2).collect();
    assert!(!hanging.iter().any(|said| asks(said)), "{hanging:?}");
    assert!(server.child.try_wait().unwrap().is_none(), "ended with an import in flight");
    (pieces..PIECES).for_each(|_| send());
    assert_eq!(server.wait().code(), Some(0));
    server.log_with(&format!("event=image.upload bytes={}", PIECE * PIECES));
}

#[test]
fn a_stop_has_a_limit_and_a_second_signal_none() {
    for (limit, signals) in [(1, 1), (600, 2)] {
        let mut server = Setup::new().more(&format!("[service]\ngraceful_shutdown_timeout = {limit}")).start();
        let id = data::create(&server);
        let mut upload = data::Upload::begin(&server, &id, 1000);
        upload.send(10);
        wait_for("the image is being saved", || {
            let image = server.get(&format!("/v2/images/{id}")).unwrap();
            String::from_utf8(image.body).unwrap().contains("\"saving\"").then_some(())
        });
        let start = Instant::now();
        for _ in 0..signals {
            server.signal(Signal::SIGTERM);
            pause(Duration::from_millis(200));
        }
        assert_eq!(server.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(10));
        server.log_with("are cut off");
    }
}
