//! What one client may take.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::data;
use super::harness::{Client, Setup, answered, pause, wait_for};

#[test]
fn a_flood_of_records_is_cut_off_and_said_to_be() {
    let mut server = Setup::new().more("rate_limit_interval = 600\nrate_limit_burst = 3").start();
    (0..20).for_each(|_| drop(answered(server.get("/versions"))));
    assert!(server.stop().success());
    let log = server.log();
    // The last record that is written may come from another thread, and after it.
    let said = "ERROR root [-] Logging rate limit: drop after 3 records/600 sec";
    assert_eq!(log.lines().filter(|line| line.ends_with(said)).count(), 1, "{log}");
    assert_eq!(log.lines().count(), 4, "{log}");
}

#[test]
fn long_lines_are_refused_by_kind() {
    let server = Setup::new().start();
    let head =
        |path: &str, header: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
    let path = |length: usize| format!("/{}", "p".repeat(length - "GET / HTTP/1.1".len()));
    let header = |length: usize| format!("X-Long: {}\r\n", "v".repeat(length - "X-Long: ".len()));
    for (what, request, expected) in [
        ("longest request line", head(&path(16384), ""), None),
        ("request line", head(&path(16385), ""), Some(414)),
        ("request line beyond hyper's own limit", head(&path(100_000), ""), Some(414)),
        ("request line beyond every buffer", head(&path(2_000_000), ""), Some(414)),
        ("longest header line", head("/", &header(16384)), None),
        ("header line", head("/", &header(16385)), Some(431)),
        ("header line beyond every buffer", head("/", &header(2_000_000)), Some(431)),
        ("many headers", head("/", &header(1000).repeat(90)), None),
        ("too many headers", head("/", &"X: y\r\n".repeat(500)), Some(431)),
    ] {
        let mut client = server.connect();
        // The refusal may come before everything is sent.
        let _ = client.send(request.as_bytes());
        let answer = client.answer().unwrap_or_else(|error| panic!("{what}: {error}"));
        match expected {
            Some(status) => assert_eq!(answer.status, status, "{what}"),
            None => assert!(!matches!(answer.status, 414 | 431), "{what}: {answer:?}"),
        }
    }
    answered(server.get("/versions"));
}

#[test]
fn a_list_may_be_filtered_by_as_many_values_as_a_line_holds() {
    let names = |count: usize| (0..count).map(|number| format!("{number:X}")).collect::<Vec<_>>().join(",");
    let short = names(3600);
    let long = names(6001);
    for (setup, values, status) in [
        (Setup::new(), ",".repeat(16_300), 200),
        (Setup::new(), short, 200),
        (Setup::new().more("max_header_line = 65000"), long, 400),
    ] {
        let server = setup.start();
        let mut client = server.connect();
        for visibility in ["public", "all"] {
            let path = format!("/v2/images?visibility={visibility}&name=in:{values}");
            client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, status, "{answer:?}");
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(text.contains("6001 in lists, at most 6000 are allowed"), status == 400, "{text}");
        }
    }
}

#[test]
fn a_target_may_hold_bytes_that_belong_encoded() {
    let server = Setup::new().start();
    let mut client = server.connect();
    for target in [
        &b"/versions?\"<a>\"#`"[..],
        b"/versions?\x7f\x01",
        b"/versions?\xc3\xbc\xff",
        b"/versions?{}|\\^[]",
        b"/versions#a",
    ] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: x\r\nX: \"<\xfc>\"\r\n\r\n"].concat();
        client.send(&request).unwrap();
        assert_eq!(client.answer().unwrap().status, 200, "{}", target.escape_ascii());
    }
    // The line's length is the one that was sent, even where it grows beyond what is read at once.
    let line =
        |length: usize| format!("GET /versions?{} HTTP/1.1", "<".repeat(length - "GET /versions? HTTP/1.1".len()));
    for (length, expected) in [(16384, 200), (16385, 414)] {
        let mut client = server.connect();
        client.send(format!("{}\r\nHost: x\r\n\r\n", line(length)).as_bytes()).unwrap();
        assert_eq!(client.answer().unwrap().status, expected, "{length}");
    }
}

#[test]
fn the_rest_of_a_body_is_not_taken_for_a_line() {
    let server = Setup::new().start();
    let mut client = server.connect();
    // The second head comes in two pieces, so that its body stands where a request line might. Encoded, it would be longer.
    let body = "GET /<<<<<<<< HTTP/1.1\r\n";
    let second = format!("GET /versions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    client.send(format!("GET /versions HTTP/1.1\r\nHost: x\r\n\r\n{second}").as_bytes()).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    pause(Duration::from_millis(50));
    let third = "GET /versions?third HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client.send(format!("\r\n{body}{third}").as_bytes()).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(client.answer().unwrap().status, 200, "the body has kept its length");
    assert!(client.has_ended(), "one answer more than requests");
}

#[test]
fn a_target_is_encoded_after_a_body_that_nobody_read() {
    let server = Setup::new().start();
    let mut client = server.connect();
    client.send(b"DELETE /versions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx").unwrap();
    client.answer().unwrap();
    for _ in 0..2 {
        client.send(b"GET /versions?< HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(client.answer().unwrap().status, 200);
    }
}

#[test]
fn what_is_not_http_is_refused_and_logged() {
    let server = Setup::new().start();
    let mut client = server.connect();
    client.send(b"no such thing\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 400);
    wait_for("the line in the log", || server.log().contains("request refused: it is not HTTP").then_some(()));
}

#[test]
fn the_limit_is_an_option() {
    let server = Setup::new().more("max_header_line = 40000").start();
    for (length, refused) in [(39_000, false), (41_000, true)] {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "v".repeat(length)).as_bytes()).unwrap();
        assert_eq!(client.answer().unwrap().status == 431, refused, "{length}");
    }
}

#[test]
fn silence_ends_a_connection() {
    let server = Setup::new().more("client_socket_timeout = 1").start();
    let mut fresh = server.connect();
    let mut kept = server.connect();
    answered(kept.get("/versions"));
    let mut unfinished = server.connect();
    unfinished.send(b"GET / HTTP/1.1\r\nHo").unwrap();
    for (what, client) in [("fresh", &mut fresh), ("kept alive", &mut kept), ("unfinished", &mut unfinished)] {
        assert!(client.closed_within(Duration::from_secs(10)), "{what}");
    }
    // A head that comes by the byte is late as a whole.
    let mut dripping = server.connect();
    let ended = (0..100).find(|_| {
        pause(Duration::from_millis(100));
        dripping.send(b"G").is_err() || dripping.closed_within(Duration::from_millis(1))
    });
    assert!(ended.is_some(), "a byte at a time holds a connection for ever");
}

#[test]
fn zero_waits_for_ever() {
    let server = Setup::new().more("client_socket_timeout = 0").start();
    let mut client = server.connect();
    answered(client.get("/versions"));
    assert!(!client.closed_within(Duration::from_secs(2)));
    answered(client.get("/versions"));
}

#[test]
fn idle_connections_make_room_for_others() {
    let server = Setup::new().more("[service]\nmax_connections = 20").start();
    let mut idle: Vec<Client<TcpStream>> = (0..20).map(|_| server.connect()).collect();
    // All have been accepted when the first one shows life.
    pause(Duration::from_millis(500));
    answered(idle[0].get("/versions"));
    // Beyond the cap a connection waits in the backlog, until the longest idle one has been sent away.
    answered(server.get("/versions"));
    let gone =
        idle.iter_mut().filter_map(|client| client.closed_within(Duration::from_millis(5)).then_some(())).count();
    assert!((1..=3).contains(&gone), "{gone} were sent away for one");
    answered(idle[0].get("/versions"));
}

#[test]
fn thousands_of_idle_connections_do_not_keep_a_request_out() {
    let server = Setup::new().start();
    let idle: Vec<TcpStream> = (0..2000).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    answered(server.get("/versions"));
    drop(idle);
    answered(server.get("/versions"));
}

#[test]
fn few_descriptors_are_shared_with_those_who_come() {
    let server = Setup::new().descriptors(40).start();
    wait_for("the warning", || server.log().contains("there are descriptors for").then_some(()));
    let idle: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    pause(Duration::from_millis(500));
    // Whoever is idle goes; files and the database have their own share.
    for size in [10, 3_000_000] {
        let id = data::create(&server);
        let mut upload = data::Upload::begin(&server, &id, size);
        upload.send(size);
        assert_eq!(upload.finish().status, 204);
    }
    assert!(!server.log().contains("connections cannot be accepted"), "{}", server.log());
    drop(idle);
}

#[test]
fn without_a_descriptor_for_the_next_one_the_longest_idle_goes() {
    let server = Setup::new().start();
    let mut idle: Vec<Client<TcpStream>> = (0..8).map(|_| server.connect()).collect();
    for client in &mut idle {
        answered(client.get("/versions"));
    }
    let process = server.child.id();
    let used = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let limit = Command::new("prlimit").args([format!("--pid={process}"), format!("--nofile={used}:{used}")]).status();
    assert!(limit.unwrap().success());
    let newcomers: Vec<Client<TcpStream>> = (0..4)
        .map(|_| {
            let mut client = server.connect();
            answered(client.get("/versions"));
            client
        })
        .collect();
    let gone =
        idle.iter_mut().filter_map(|client| client.closed_within(Duration::from_millis(5)).then_some(())).count();
    assert!((3..=6).contains(&gone), "{gone} were sent away for four");
    let log = server.log_with("connections cannot be accepted");
    assert_eq!(log.matches("connections cannot be accepted").count(), 1, "{log}");
    drop(newcomers);
}

#[test]
fn without_keepalive_each_answer_is_the_last() {
    let server = Setup::new().more("http_keepalive = false").start();
    let mut client = server.connect();
    let answer = answered(client.get("/versions"));
    assert!(answer.head.to_lowercase().contains("connection: close"), "{}", answer.head);
    assert!(client.closed_within(Duration::from_secs(10)));
}

#[test]
fn an_unread_body_does_not_swallow_the_answer() {
    let server = Setup::new().start();
    let mut client = server.connect();
    let length = 20_000_000;
    client.send(format!("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes()).unwrap();
    let _ = client.send(&vec![b'x'; length]);
    answered(client.answer());
}

#[test]
fn old_clients_are_understood() {
    let server = Setup::new().start();
    let mut client = server.connect();
    client.send(b"GET /versions HTTP/1.0\r\n\r\n").unwrap();
    let answer = answered(client.answer());
    assert!(answer.head.starts_with("HTTP/1.0 "), "{}", answer.head);
    assert!(client.closed_within(Duration::from_secs(10)));
    let mut nonsense = server.connect();
    nonsense.send(b"this is not HTTP\r\n\r\n").unwrap();
    assert_eq!(nonsense.answer().unwrap().status, 400);
}
