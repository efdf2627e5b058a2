//! What goes wrong in the world: crashes, full disks, clients that vanish, dawdle or flood, a Keystone that goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::disk::{FuseMount, SmallDisk};
use common::peers::Keystone;
use common::{Answer, Body, Conf, Request, Server, free_port, http, pause, wait_for};
use nix::sys::signal::Signal;
use serde_json::json;

const MIB: usize = 1 << 20;

/// Registers a raw image; returns its id.
fn create(server: &Server) -> String {
    let image = json!({"name": "fault", "disk_format": "raw", "container_format": "bare"});
    let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn status(server: &Server, id: &str) -> String {
    let answer = server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200);
    answer.json()["status"].as_str().unwrap().to_owned()
}

fn upload(id: &str, body: Body) -> Request {
    Request::new("PUT", &format!("/v2/images/{id}/file")).data(body)
}

/// Begins an upload of `length` bytes, sends `part` of them, and waits until the service has taken the image.
fn begin_upload(server: &Server, id: &str, length: usize, part: usize) -> TcpStream {
    let mut stream = http::connect(server.address).unwrap();
    let head = Request::new("PUT", &format!("/v2/images/{id}/file"))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", &length.to_string())
        .head("localhost");
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; part]).unwrap();
    wait_for("the image is being saved", Duration::from_secs(30), || (status(server, id) == "saving").then_some(()));
    stream
}

/// All files below the folder, hidden ones too.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

/// The image is as before the failed upload, nothing is left of its data, and the next upload succeeds.
#[track_caller]
fn assert_recovered(server: &Server, id: &str) {
    wait_for("the image is queued again", Duration::from_secs(20), || (status(server, id) == "queued").then_some(()));
    let store = server.conf.dir.join("images");
    wait_for("no data is left", Duration::from_secs(20), || files(&store).is_empty().then_some(()));
    server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(204);
    let shown = server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json();
    assert!(shown["size"].is_null(), "{shown}");
    server.send(&upload(id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert_eq!(status(server, id), "active");
    let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200);
    assert!(data.body == vec![b'y'; 1000]);
    assert_eq!(files(&store).len(), 1);
}

#[test]
fn crash_in_an_upload() {
    let mut server = Server::simple();
    let finished = create(&server);
    server.send(&upload(&finished, Body::Sized(vec![b'a'; 5 * MIB]))).expect(204);
    let id = create(&server);
    let stream = begin_upload(&server, &id, 64 * MIB, 8 * MIB);
    server.crash();
    drop(stream);
    server.start_again();

    // What was finished is untouched.
    let data = server.send(&Request::new("GET", &format!("/v2/images/{finished}/file"))).expect(200);
    assert!(data.body == vec![b'a'; 5 * MIB]);
    server.send(&Request::new("DELETE", &format!("/v2/images/{finished}"))).expect(204);
    assert_recovered(&server, &id);
}

/// sendfile(2) waits for pages that are not in memory, and with it would all connections of its thread.
#[test]
fn storage_that_does_not_answer_holds_up_nobody_else() {
    let mut mount = None;
    let server = Server::with(|conf| {
        mount = Some(FuseMount::on(conf.dir.join("images"), &conf.dir.join("source")));
        conf
    });
    let mount = mount.unwrap();
    let id = create(&server);
    let data: Vec<u8> = (0..8 * MIB).map(|place| (place % 253) as u8).collect();
    server.send(&upload(&id, Body::Sized(data.clone()))).expect(204);
    let get = Request::new("GET", &format!("/v2/images/{id}/file"));
    let download = || {
        let mut stream = http::connect(server.address).unwrap();
        stream.write_all(&get.head("localhost")).unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(Answer::read_head(&mut reader).unwrap().status, 200);
        reader
    };
    // More than the runtime has threads. Their first bytes come; then the rest of the file is where nobody reads it.
    let mut readers: Vec<_> =
        (0..2 * std::thread::available_parallelism().unwrap().get()).map(|_| download()).collect();
    let mut begun = vec![0; 1000];
    for reader in &mut readers {
        reader.read_exact(&mut begun).unwrap();
        assert!(begun[..] == data[..1000]);
    }
    let file = std::fs::File::open(server.conf.dir.join("images").join(&id)).unwrap();
    mount.stall();
    nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    let readers: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            std::thread::spawn(move || {
                let mut rest = vec![0; 8 * MIB - 1000];
                reader.read_exact(&mut rest).map(|()| rest)
            })
        })
        .collect();
    pause(Duration::from_secs(1));
    assert!(!readers.iter().any(std::thread::JoinHandle::is_finished), "the data was in memory");
    for _ in 0..10 {
        let asked = Instant::now();
        server.send(&Request::new("GET", "/v2/images")).expect(200);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    }
    mount.go_on();
    for reader in readers {
        assert!(reader.join().unwrap().unwrap()[..] == data[1000..]);
    }
    drop((server, mount));
}

#[test]
fn crash_again_and_again() {
    let mut server = Server::simple();
    let ids: Vec<String> = (0..5).map(|_| create(&server)).collect();
    for (turn, id) in ids.iter().enumerate() {
        let stream = begin_upload(&server, id, 8 * MIB, 1 + turn * 100_000);
        server.crash();
        drop(stream);
        server.start_again();
    }
    for id in &ids {
        assert_recovered(&server, id);
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
}

/// A worker beside the first, with the same database, store and intent log.
fn second_worker(server: &Server) -> Server {
    let mut conf = server.conf.clone();
    conf.port = free_port();
    let port = conf.port;
    Server::start(conf.set("DEFAULT.bind_port", port))
}

#[test]
fn survivor_takes_over_from_a_crash() {
    let survivor = Server::simple();
    let mut other = second_worker(&survivor);
    let id = create(&survivor);
    let stream = begin_upload(&other, &id, 64 * MIB, 8 * MIB);
    other.crash();
    drop(stream);
    // It would look within a minute; a reload makes it look at once.
    survivor.conf.write();
    survivor.signal(Signal::SIGHUP);
    assert_recovered(&survivor, &id);
}

#[test]
fn stop_undoes_what_it_cuts_off() {
    let mut server = Server::with(|conf| {
        let state = conf.dir.join("state").display().to_string();
        conf.set("service.state_directory", state).set("service.graceful_shutdown_timeout", 1)
    });
    let id = create(&server);
    let stream = begin_upload(&server, &id, 64 * MIB, 8 * MIB);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_end(Duration::from_secs(10)).code(), Some(0));
    drop(stream);
    let left = files(&server.conf.dir.join("state"));
    assert!(left.is_empty(), "left to the next start: {left:?}");
    server.start_again();
    assert_recovered(&server, &id);
}

#[test]
fn workers_that_start_at_once_on_an_empty_file_all_serve() {
    let dir = tempfile::tempdir().unwrap();
    let confs: Vec<Conf> = (0..4)
        .map(|number| {
            let port = free_port();
            let place = |name: &str| dir.path().join(name).display().to_string();
            Conf::new(&dir.path().join(number.to_string()), port)
                .set("database.connection", format!("sqlite:///{}", place("glance.db")))
                .set("glance_store.filesystem_store_datadir", place("images"))
        })
        .collect();
    // A server ends with the thread that started it.
    std::thread::scope(|scope| {
        for conf in confs {
            scope.spawn(|| {
                let server = Server::start(conf);
                let id = create(&server);
                assert_eq!(status(&server, &id), "queued");
            });
        }
    });
}

#[test]
fn full_disk() {
    let mut disk = None;
    let server = Server::with(|conf| {
        disk = Some(SmallDisk::on(conf.dir.join("images"), 4 * MIB));
        conf
    });
    for body in [Body::Sized(vec![b'x'; 8 * MIB]), Body::Chunked(vec![vec![b'x'; MIB]; 8])] {
        let id = create(&server);
        let answer = server.send(&upload(&id, body)).expect(413);
        assert!(answer.text().contains("Image storage media is full"), "{}", answer.text());
        assert_recovered(&server, &id);
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
    drop(server);
    drop(disk);
}

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

#[test]
fn client_vanishes_in_a_download() {
    let server = Server::simple();
    let id = create(&server);
    server.send(&upload(&id, Body::Sized(vec![b'x'; 64 * MIB]))).expect(204);
    pause(Duration::from_millis(200));
    let before = server.descriptors();
    for _ in 0..20 {
        let mut stream = http::connect(server.address).unwrap();
        let request = Request::new("GET", &format!("/v2/images/{id}/file"));
        stream.write_all(&request.head("localhost")).unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
    }
    wait_for("files and sockets are closed", Duration::from_secs(20), || {
        (server.descriptors() <= before).then_some(())
    });
    assert_eq!(status(&server, &id), "active");
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

    // An upload that stops, and one that stops with some bytes in each second.
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
    let server = Server::with(|conf| conf.set("DEFAULT.client_socket_timeout", 2));
    let id = create(&server);
    server.send(&upload(&id, Body::Sized(vec![b'x'; 64 * MIB]))).expect(204);
    pause(Duration::from_millis(200));
    let before = server.descriptors();
    let mut stream = http::connect(server.address).unwrap();
    stream.write_all(&Request::new("GET", &format!("/v2/images/{id}/file")).head("localhost")).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    wait_for("it is given up", Duration::from_secs(15), || (server.descriptors() <= before).then_some(()));
    drop(stream);
}

#[test]
fn two_thousand_idle_connections() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).unwrap();
    let server = Server::with(|conf| conf.set("DEFAULT.client_socket_timeout", 3));
    server.send(&Request::new("GET", "/v2/images")).expect(200);
    let memory = server.resident();
    let idle: Vec<TcpStream> = (0..2000).map(|_| http::connect(server.address).unwrap()).collect();
    pause(Duration::from_secs(1));
    let grown = server.resident().saturating_sub(memory);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
    // Who comes now waits for a place at most until the idle ones are closed.
    server.send(&Request::new("GET", "/v2/images")).expect(200);
    wait_for("the idle ones are closed", Duration::from_secs(20), || (server.descriptors() < 200).then_some(()));
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

#[test]
fn keystone_goes_away_and_comes_back() {
    let keystone = Keystone::private();
    keystone.limits(&json!({
        "registered": {"image_size_total": 2, "image_stage_total": 1, "image_count_total": 2, "image_count_uploading": 5},
        "domain": {"image_size_total": 3, "image_count_total": 3},
    }));
    let server = Server::with(|conf| conf.two_stores().keystone(&keystone).limits(&keystone));
    let (known, fresh) = (keystone.token("demo@demo"), keystone.token("alt_demo@alt_demo"));
    let list = |token: &str| server.send(&Request::new("GET", "/v2/images").header("X-Auth-Token", token));
    list(&known).expect(200);
    let image = limits_hold_for_two_levels(&server, &keystone);
    let upload = upload(&image, Body::Sized(vec![b'x'; 10])).header("X-Auth-Token", &known);

    keystone.away();
    // Nobody tells what a project may have, and nothing is made meanwhile.
    server.send(&make(&known)).expect(503);
    server.send(&upload).expect(503);
    server.send(&Request::new("GET", "/v2/info/usage").header("X-Auth-Token", &known)).expect(503);
    server.send(&Request::new("GET", &format!("/v2/images/{image}")).header("X-Auth-Token", &known)).expect(200);
    // A token that was seen a moment ago still serves; another cannot be checked, and that is said soon.
    list(&known).expect(200);
    // Nor does a reload forget it, whatever it changes elsewhere.
    for limit in [31, 32] {
        server.conf.clone().set("DEFAULT.limit_param_default", limit).write();
        server.signal(Signal::SIGHUP);
        let reloaded = format!("limit_param_default: {} → {limit}", if limit == 31 { 25 } else { 31 });
        wait_for("the reload", Duration::from_secs(20), || server.log().contains(&reloaded).then_some(()));
        list(&known).expect(200);
    }
    let start = Instant::now();
    list(&fresh).expect(503);
    assert!(start.elapsed() < Duration::from_secs(25), "took {:?}", start.elapsed());
    server.send(&Request::new("GET", "/versions")).expect(200);
    server.send(&Request::new("GET", "/v2/images")).expect(401);

    keystone.again();
    // That it was away is not remembered against the token.
    wait_for("tokens are checked again", Duration::from_secs(15), || (list(&fresh).status == 200).then_some(()));
    list("nonsense").expect(401);
    server.send(&upload).expect(204);
    keystone.stop();
}

fn make(token: &str) -> Request {
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    Request::new("POST", "/v2/images").header("X-Auth-Token", token).json(&image)
}

/// What one project may have, and what all projects of the domain may have together. Returns an image without data.
fn limits_hold_for_two_levels(server: &Server, keystone: &Keystone) -> String {
    let (one, other) = (keystone.token("demo@demo"), keystone.token("alt_demo@alt_demo"));
    let create = |token: &str| server.send(&make(token)).expect(201).json()["id"].as_str().unwrap().to_owned();
    let refused = |answer: Answer, project: &str, words: &str| {
        let text = answer.expect(413).text();
        assert!(text.contains(&format!("Project {project} is over a limit for [Resource {words}]")), "{text}");
    };
    let (first, second, others) = (create(&one), create(&one), create(&other));
    let demo = keystone.projects["demo"].as_str();
    let too_many =
        |limit: u8| format!("image_count_total is over limit of {limit} due to current usage {limit} and delta 1");
    refused(server.send(&make(&one)), demo, &too_many(2));
    refused(server.send(&make(&other)), "default", &too_many(3));

    // Parts of a MiB do not count.
    let send = |token: &str, id: &str, size: usize| {
        server.send(&upload(id, Body::Sized(vec![b'x'; size])).header("X-Auth-Token", token))
    };
    send(&one, &first, 2 * MIB + MIB / 2).expect(204);
    refused(send(&one, &second, MIB), demo, "image_size_total is over limit of 2 due to current usage 2 and delta 1");
    refused(
        send(&other, &others, 2 * MIB),
        "default",
        "image_size_total is over limit of 3 due to current usage 2 and delta 2",
    );
    send(&other, &others, MIB).expect(204);
    second
}

#[test]
fn of_two_uploads_one_wins() {
    let server = Server::simple();
    let id = create(&server);
    let mut first = begin_upload(&server, &id, 2 * MIB, MIB);
    let second = server.send(&upload(&id, Body::Sized(vec![b'2'; 10])));
    assert_eq!(second.status, 409, "{}", second.text());
    first.write_all(&vec![b'x'; MIB]).unwrap();
    let answer = Answer::read(&mut BufReader::new(first), "PUT").unwrap();
    assert_eq!(answer.status, 204);
    let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200);
    assert!(data.body == vec![b'x'; 2 * MIB]);
    assert_eq!(files(&server.conf.dir.join("images")).len(), 1);
}

#[test]
fn delete_in_an_upload() {
    let server = Server::simple();
    let id = create(&server);
    let mut stream = begin_upload(&server, &id, 2 * MIB, MIB);
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    // The server may close before it has taken all.
    let _ = stream.write_all(&vec![b'x'; MIB]);
    let answer = Answer::read(&mut BufReader::new(stream), "PUT").unwrap();
    assert_eq!(answer.status, 410, "{}", answer.text());
    let store = server.conf.dir.join("images");
    wait_for("no data is left", Duration::from_secs(20), || files(&store).is_empty().then_some(()));
    server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(404);
}
