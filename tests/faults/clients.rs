//! Clients that vanish, dawdle or flood.

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Answer, Body, Request, Server, http, pause, wait_for};
use crate::{MIB, assert_recovered, begin_upload, create, status, upload};

#[test]
fn client_vanishes_in_an_upload() {
    let server = Server::simple();
    let id = create(&server);
    drop(begin_upload(&server, &id, 64 * MIB, 2 * MIB));
    assert_recovered(&server, &id);
}

#[test]
fn client_vanishes_between_chunks() {
    let server = Server::simple();
    let id = create(&server);
    let mut stream = http::connect(server.address).unwrap();
    stream.write_all(&upload(&id, Body::Chunked(Vec::new())).head("localhost")).unwrap();
    stream.write_all(b"100000\r\n").unwrap();
    stream.write_all(&vec![b'x'; 500_000]).unwrap();
    wait_for("the image is being saved", Duration::from_secs(30), || (status(&server, &id) == "saving").then_some(()));
    drop(stream);
    assert_recovered(&server, &id);
}

/// Downloads of a large image, of which a part was read, and what the server has open for them.
struct Downloads {
    streams: Vec<TcpStream>,
    id: String,
    sockets: BTreeSet<String>,
}

impl Downloads {
    fn begin(server: &Server, count: usize) -> Self {
        let id = create(server);
        server.send(&upload(&id, Body::Sized(vec![b'x'; 64 * MIB]))).expect(204);
        // The kernel gives no two sockets one name. So those of before count for nothing, whether or not they are closed already.
        let sockets = |server: &Server| -> BTreeSet<String> {
            server.open().into_iter().filter(|target| target.starts_with("socket:")).collect()
        };
        let before = sockets(server);
        let begin = |_| {
            let mut stream = http::connect(server.address).unwrap();
            stream.write_all(&Request::new("GET", &format!("/v2/images/{id}/file")).head("localhost")).unwrap();
            stream.read_exact(&mut [0; 1000]).unwrap();
            stream
        };
        let streams = (0..count).map(begin).collect();
        let begun = Self { streams, id, sockets: &sockets(server) - &before };
        let (files, sockets) = begun.open(server);
        assert!(files >= count && sockets >= count, "a download needs a file and a socket: {files} and {sockets}");
        begun
    }

    /// Files and sockets that are still open.
    fn open(&self, server: &Server) -> (usize, usize) {
        let open = server.open();
        let count = |is_counted: &dyn Fn(&String) -> bool| open.iter().filter(|target| is_counted(target)).count();
        (count(&|target| target.contains(&self.id)), count(&|target| self.sockets.contains(target)))
    }

    fn wait_for_end(&self, server: &Server, limit: Duration) {
        wait_for("files and sockets are closed", limit, || (self.open(server) == (0, 0)).then_some(()));
    }
}

#[test]
fn client_vanishes_in_a_download() {
    let server = Server::simple();
    let mut downloads = Downloads::begin(&server, 20);
    downloads.streams.clear();
    downloads.wait_for_end(&server, Duration::from_secs(20));
    assert_eq!(status(&server, &downloads.id), "active");
}

/// Reads until the server closes; panics when it does not.
#[track_caller]
fn assert_closes(mut stream: TcpStream, within: Duration) -> Vec<u8> {
    stream.set_read_timeout(Some(within)).unwrap();
    let (start, mut got) = (Instant::now(), Vec::new());
    match stream.read_to_end(&mut got) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(e) => panic!("not closed after {:?}: {e}", start.elapsed()),
    }
    got
}

#[test]
fn clients_that_dawdle() {
    let server = Server::with(|conf| conf.set("DEFAULT.client_socket_timeout", 2));
    let limit = Duration::from_secs(12);

    // Nothing at all, a beginning of a request, and an idle kept connection.
    assert_closes(http::connect(server.address).unwrap(), limit);
    let mut beginning = http::connect(server.address).unwrap();
    beginning.write_all(b"GET /v2/images HT").unwrap();
    assert_closes(beginning, limit);
    let mut kept = http::connect(server.address).unwrap();
    kept.write_all(&Request::new("GET", "/versions").head("localhost")).unwrap();
    Answer::read(&mut BufReader::new(kept.try_clone().unwrap()), "GET").unwrap();
    assert_closes(kept, limit);

    // A header a byte at a time, each within the timeout: the whole head has it, too.
    let mut trickle = http::connect(server.address).unwrap();
    let start = Instant::now();
    while trickle.write_all(b"G").is_ok() {
        pause(Duration::from_millis(500));
        assert!(start.elapsed() < limit, "the server listens for ever");
    }

    // An upload that stops.
    let id = create(&server);
    let stream = begin_upload(&server, &id, 10 * MIB, MIB);
    assert_closes(stream, limit);
    assert_recovered(&server, &id);
}

#[test]
fn one_byte_a_time_disturbs_nobody() {
    let server = Server::with(|conf| conf.set("DEFAULT.client_socket_timeout", 30));
    let uploads: Vec<(String, TcpStream)> = (0..50)
        .map(|_| {
            let id = create(&server);
            let stream = begin_upload(&server, &id, 1000, 1);
            (id, stream)
        })
        .collect();
    for _ in 0..4 {
        for (_, stream) in &uploads {
            let mut stream = stream;
            stream.write_all(b"x").unwrap();
        }
        let start = Instant::now();
        server.send(&Request::new("GET", "/v2/images?limit=5")).expect(200);
        assert!(start.elapsed() < Duration::from_secs(8), "others wait {:?}", start.elapsed());
        pause(Duration::from_millis(500));
    }
    for (_, stream) in &uploads {
        let mut stream = stream;
        stream.write_all(&[b'x'; 995]).unwrap();
    }
    for (id, stream) in uploads {
        let answer = Answer::read(&mut BufReader::new(stream), "PUT").unwrap();
        assert_eq!((answer.status, status(&server, &id).as_str()), (204, "active"));
    }
}

#[test]
fn stalled_uploads_hold_little_memory() {
    let server = Server::simple();
    let warm = create(&server);
    server.send(&upload(&warm, Body::Sized(vec![b'x'; MIB]))).expect(204);
    let memory = server.resident();
    // Less than is otherwise written at once.
    let uploads: Vec<TcpStream> =
        (0..100).map(|_| begin_upload(&server, &create(&server), 10 * MIB, 900_000)).collect();
    pause(Duration::from_secs(1));
    let grown = server.resident().saturating_sub(memory);
    assert!(grown < 48 * MIB as u64, "grew by {grown} bytes");
    drop(uploads);
}

#[test]
fn reader_that_stops() {
    // Long enough for all of them to be begun on a busy machine.
    let server = Server::with(|conf| conf.set("DEFAULT.client_socket_timeout", 6));
    // Their clients stay.
    let downloads = Downloads::begin(&server, 10);
    downloads.wait_for_end(&server, Duration::from_secs(30));
}

#[test]
fn two_thousand_idle_connections() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).unwrap();
    let server = Server::with(|conf| conf.set("DEFAULT.client_socket_timeout", 6).set("service.max_connections", 1000));
    server.send(&Request::new("GET", "/v2/images")).expect(200);
    let memory = server.resident();
    let idle: Vec<TcpStream> = (0..2000).map(|_| http::connect(server.address).unwrap()).collect();
    wait_for("most are accepted", Duration::from_secs(20), || (server.descriptors() > 950).then_some(()));
    let grown = server.resident().saturating_sub(memory);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
    // Who comes now waits for a place at most until the idle ones are closed.
    server.send(&Request::new("GET", "/v2/images")).expect(200);
    wait_for("the idle ones are closed", Duration::from_secs(40), || (server.descriptors() < 200).then_some(()));
    drop(idle);
}

#[test]
fn floods_of_headers() {
    let server = Server::simple();
    server.send(&Request::new("GET", "/versions").header("X-Long", &"a".repeat(12_000))).expect(200);
    server.send(&Request::new("GET", "/versions").header("X-Long", &"a".repeat(20_000))).expect(431);
    server.send(&Request::new("GET", &format!("/versions?{}", "a".repeat(20_000)))).expect(414);

    let memory = server.resident();
    for line in [format!("X-Flood: {}\r\n", "a".repeat(1000)), "X-Small: a\r\n".to_owned(), "a".repeat(1000)] {
        let mut stream = http::connect(server.address).unwrap();
        stream.write_all(b"GET /versions HTTP/1.1\r\nHost: localhost\r\n").unwrap();
        let mut sent = 0;
        // An endless head: the server must stop it, with an answer or without.
        while sent < 64 * MIB && stream.write_all(line.as_bytes()).is_ok() {
            sent += line.len();
        }
        assert!(sent < 64 * MIB, "the server took {sent} bytes of headers");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    let grown = server.resident().saturating_sub(memory);
    assert!(grown < 32 * MIB as u64, "grew by {grown} bytes");
    server.send(&Request::new("GET", "/versions")).expect(200);
}
