//! HTTP/2 over TLS: every limit, time-out, early answer and end that HTTP/1.1 has.

use std::future::poll_fn;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::harness::{LONG, Setup};
use super::http2_client::{Site, answer, pour};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const MISSING: &str = "/v2/images/00000000-0000-4000-8000-000000000000/file";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_gets_its_answer_and_is_read_on() {
    let site = Site::start("[service]\nmax_json_body = 10000");
    let taken = site.create().await;
    let mut session = site.connect().await;
    let (response, mut stream) = session.upload(&taken).await;
    pour(&mut stream, b"data").await.unwrap();
    assert_eq!(answer(response).await.unwrap().0, 204);

    let data = vec![b'd'; 20_000_000];
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let bytes: &[(&str, &str)] = &[("content-type", "application/octet-stream")];
    for (method, path, headers, expected) in [
        ("PUT", MISSING, bytes, 404),
        ("PUT", taken.as_str(), bytes, 409),
        ("POST", "/v2/images", json, 413),
        ("PUT", taken.as_str(), &[("content-type", "text/plain")], 415),
        ("PUT", taken.as_str(), &[("host", "elsewhere")], 400),
    ] {
        let (response, mut stream) = session.begin(method, path, headers).await;
        // As clients do that look for the answer once they have sent all.
        timeout(LONG, pour(&mut stream, &data)).await.expect("the window stays shut").expect("reset before the end");
        assert_eq!(answer(response).await.unwrap().0, expected, "{method} {path}");
    }
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_on_sending_behind_an_answer_is_reset_without_an_error() {
    let site = Site::start("");
    let mut session = site.connect().await;
    let (response, mut stream) = session.upload(MISSING).await;
    assert_eq!(answer(response).await.unwrap().0, 404);
    let start = Instant::now();
    let reset = loop {
        assert!(start.elapsed() < LONG, "no limit");
        tokio::select! {
            reset = poll_fn(|context| stream.poll_reset(context)) => break reset.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(100)) => drop(stream.send_data(Bytes::from_static(b"d"), false)),
        }
    };
    assert_eq!(reset, Reason::NO_ERROR);
    assert!(start.elapsed() > Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_ends_before_its_end_is_none() {
    let site = Site::start("");
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let path = site.create().await;
        let mut session = site.connect().await;
        let (response, mut stream) = session.upload(&path).await;
        stream.send_data(Bytes::from_static(b"the first half"), false).unwrap();
        site.becomes(&path, "saving").await;
        stream.send_reset(reason);
        drop((response, stream));
        site.becomes(&path, "queued").await;
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lines_are_refused_by_kind() {
    let site = Site::start("");
    let mut session = site.connect().await;
    // The line has its length in HTTP/1.1.
    let path = |length: usize| format!("/{}", "p".repeat(length - "GET / HTTP/1.1".len()));
    let value = |length: usize| "v".repeat(length - "x-long: ".len());
    for (what, path, value, expected) in [
        ("longest request line", path(16384), value(9), None),
        ("request line", path(16385), value(9), Some(414)),
        ("longest header line", "/".to_owned(), value(16384), None),
        ("header line", "/".to_owned(), value(16385), Some(431)),
        ("header line beyond every buffer", "/".to_owned(), value(400_000), Some(431)),
    ] {
        let status = session.status_of(&path, &[("x-long", &value)]).await;
        match expected {
            Some(expected) => assert_eq!(status, expected, "{what}"),
            None => assert!(!matches!(status, 414 | 431), "{what}: {status}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_an_option() {
    let site = Site::start("max_header_line = 40000");
    let mut session = site.connect().await;
    for (length, expected) in [(39_000, 200), (41_000, 431)] {
        let status = session.status_of("/versions", &[("x-long", &"v".repeat(length))]).await;
        assert_eq!(status, expected, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_beside_the_authority_is_the_same() {
    let site = Site::start("");
    let mut session = site.connect().await;
    for (hosts, expected) in [
        (&[("host", "localhost")][..], 200),
        (&[("host", "LOCALHOST")], 200),
        (&[("host", "elsewhere")], 400),
        (&[("host", "localhost:1")], 400),
        (&[("host", "localhost"), ("host", "localhost")], 400),
    ] {
        assert_eq!(session.status_of("/versions", hosts).await, expected, "{hosts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zero_waits_for_ever() {
    let site = Site::start("client_socket_timeout = 0");
    let mut session = site.connect().await;
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!session.driver.is_finished());
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_a_connection() {
    let site = Site::start("client_socket_timeout = 1");
    let limit = Duration::from_secs(15);
    let mut kept = site.connect().await;
    assert_eq!(kept.get("/versions").await.unwrap().0, 200);
    // Not a word; a preface; a head that does not end.
    let unfinished = [PREFACE, b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat();
    for (what, bytes) in [("silent", &b""[..]), ("preface", PREFACE), ("unfinished", unfinished.as_slice())] {
        let mut socket = site.socket().await;
        socket.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let end = timeout(limit, socket.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "{what}");
    }
    kept.ends_within(limit).await;
    // PINGs are no requests.
    let (_requests, mut connection) = h2::client::handshake(site.socket().await).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let pinging = tokio::spawn(async move {
        while pings.ping(h2::Ping::opaque()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    timeout(limit, connection).await.expect("PINGs keep a connection open").unwrap();
    pinging.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_stalls_ends_alone() {
    let site = Site::start("client_socket_timeout = 1");
    let path = site.create().await;
    let mut session = site.connect().await;
    let (response, mut stream) = session.upload(&path).await;
    stream.send_data(Bytes::from_static(b"data"), false).unwrap();
    // Neither other requests nor empty frames count as its data.
    let mut others = 0;
    let answered = answer(response);
    tokio::pin!(answered);
    let (status, _) = loop {
        tokio::select! {
            answer = &mut answered => break answer.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                stream.send_data(Bytes::new(), false).unwrap();
                assert_eq!(session.get("/versions").await.unwrap().0, 200);
                others += 1;
                assert!(others < 150, "the upload never ends");
            }
        }
    };
    assert!((400..600).contains(&status), "{status}");
    site.becomes(&path, "queued").await;
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_cut_off_and_a_slow_one_beside_it_is_not() {
    let site = Site::start("client_socket_timeout = 2");
    let path = site.create().await;
    let data = vec![b'd'; 4_000_000];
    let mut session = site.connect_with(h2::client::Builder::new().initial_connection_window_size(16_000_000)).await;
    let (response, mut stream) = session.upload(&path).await;
    pour(&mut stream, &data).await.unwrap();
    assert_eq!(answer(response).await.unwrap().0, 204);

    let mut bodies = Vec::new();
    for _ in 0..2 {
        let (response, mut stream) = session.begin("GET", &path, &[]).await;
        stream.send_data(Bytes::new(), true).unwrap();
        bodies.push(response.await.unwrap().into_body());
    }
    let (mut slow, mut stuck) = (bodies.pop().unwrap(), bodies.pop().unwrap());
    let (start, mut received) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(6) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let chunk = slow.data().await.unwrap().unwrap();
        slow.flow_control().release_capacity(chunk.len()).unwrap();
        received += chunk.len();
    }
    while let Some(chunk) = slow.data().await {
        let chunk = chunk.unwrap();
        slow.flow_control().release_capacity(chunk.len()).unwrap();
        received += chunk.len();
    }
    assert_eq!(received, data.len());
    // The other one keeps its memory until its connection ends, which is when nothing else is left on it.
    let end = async {
        loop {
            match stuck.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        }
    };
    timeout(LONG, end).await.expect("a client that takes nothing is waited for").expect("it got all");
    // It has been told to go elsewhere, so that the end is no surprise.
    session.ends_within(LONG).await;
    assert_eq!(site.connect().await.get("/versions").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room_for_others() {
    let site = Site::start("[service]\nmax_connections = 3");
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut session = site.connect().await;
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
        idle.push(session);
    }
    // One that does not listen to what it is told.
    let mut deaf = site.socket().await;
    deaf.write_all(PREFACE).await.unwrap();
    for _ in 0..3 {
        let mut session = site.connect().await;
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
        idle.push(session);
    }
    let ended = idle.iter().filter(|session| session.driver.is_finished()).count();
    assert!(ended >= 2, "{ended} have ended");
    for session in idle.into_iter().take(2) {
        session.ends_within(LONG).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_descriptors_are_shared_with_those_who_come() {
    let site = Site::start_from(Setup::new().descriptors(40), "");
    site.server.log_with("there are descriptors for");
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut socket = site.socket().await;
        socket.write_all(PREFACE).await.unwrap();
        idle.push(socket);
    }
    for size in [10, 3_000_000] {
        let path = site.create().await;
        let mut session = site.connect().await;
        let (response, mut stream) = session.upload(&path).await;
        pour(&mut stream, &vec![b'd'; size]).await.unwrap();
        assert_eq!(answer(response).await.unwrap().0, 204);
    }
    assert!(!site.server.log().contains("connections cannot be accepted"), "{}", site.server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_descriptor_for_the_next_one_the_longest_idle_goes() {
    let site = Site::start("");
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut session = site.connect().await;
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
        idle.push(session);
    }
    let process = site.server.child.id();
    let used = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let limit = Command::new("prlimit").args([format!("--pid={process}"), format!("--nofile={used}:{used}")]).status();
    assert!(limit.unwrap().success());
    let mut newcomers = Vec::new();
    for _ in 0..4 {
        let mut session = site.connect().await;
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
        newcomers.push(session);
    }
    let ended = || idle.iter().filter(|session| session.driver.is_finished()).count();
    let start = Instant::now();
    while ended() < 3 {
        assert!(start.elapsed() < LONG, "{} were sent away for four", ended());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ended() <= 6, "{} were sent away for four", ended());
    site.server.log_with("connections cannot be accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keepalive_a_connection_has_one_request() {
    let site = Site::start("http_keepalive = false");
    let mut session = site.connect().await;
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
    session.ends_within(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_finish_and_waits_for_no_idle_client() {
    let mut site = Site::start("");
    let path = site.create().await;
    let (mut idle, mut session) = (site.connect().await, site.connect().await);
    assert_eq!(idle.get("/versions").await.unwrap().0, 200);
    // They do not answer a GOAWAY; the second has had a request.
    let mut deaf = [site.socket().await, site.socket().await];
    let request = [PREFACE, b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x87\x84\x01\x09localhost"].concat();
    deaf[0].write_all(PREFACE).await.unwrap();
    deaf[1].write_all(&request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (response, mut stream) = session.upload(&path).await;
    stream.send_data(Bytes::from_static(b"the first half"), false).unwrap();
    site.becomes(&path, "saving").await;
    let start = Instant::now();
    site.server.signal(Signal::SIGTERM);
    idle.ends_within(Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(site.server.child.try_wait().unwrap().is_none(), "ended with a request in flight");
    pour(&mut stream, b" and the second").await.unwrap();
    assert_eq!(answer(response).await.unwrap().0, 204);
    session.ends_within(LONG).await;
    assert_eq!(site.server.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(14), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_has_a_limit_and_a_second_signal_none() {
    for (limit, signals) in [(1, 1), (600, 2)] {
        let mut site = Site::start(&format!("[service]\ngraceful_shutdown_timeout = {limit}"));
        let path = site.create().await;
        let mut session = site.connect().await;
        let (_response, mut stream) = session.upload(&path).await;
        stream.send_data(Bytes::from_static(b"the first half"), false).unwrap();
        site.becomes(&path, "saving").await;
        let start = Instant::now();
        for _ in 0..signals {
            site.server.signal(Signal::SIGTERM);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(site.server.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        site.server.log_with("are cut off");
    }
}
