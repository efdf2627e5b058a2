//! Disks that are full or do not answer.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::disk::{FuseMount, SmallDisk};
use crate::common::{Answer, Body, Client, Request, Server, http, pause, wait_for};
use crate::{MIB, assert_recovered, create, upload};

/// sendfile(2) waits for pages that are not in memory, and with it would all connections of its thread.
#[test]
fn storage_that_does_not_answer_holds_up_nobody_else() {
    let (server, mount) =
        Server::with_disk(|conf| (FuseMount::on(conf.dir.join("images"), &conf.dir.join("source")), conf));
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
    let file = fs::File::open(server.conf.dir.join("images").join(&id)).unwrap();
    // For a second the service believes that what it has found in memory stays there.
    pause(Duration::from_millis(1500));
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
}

/// How many threads of the server wait for the answer of a file system in user space (proc_pid_wchan(5)).
fn waiting_for_fuse(server: &Server) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten();
    let waiting = tasks.filter_map(|task| fs::read_to_string(task.path().join("wchan")).ok());
    waiting.filter(|function| function.contains("request_wait_answer") || function.contains("fuse")).count()
}

/// A reload looks at the directories of all file stores.
#[test]
fn a_reload_that_waits_for_a_store_holds_up_no_request() {
    let (server, mount) = Server::with_disk(|conf| {
        // One thread for everything, as under systemd.
        (FuseMount::on(conf.dir.join("images"), &conf.dir.join("source")), conf.set("DEFAULT.workers", 0))
    });
    mount.stall();
    let before = waiting_for_fuse(&server);
    server.signal(Signal::SIGHUP);
    let waits_more = || (waiting_for_fuse(&server) > before).then_some(());
    wait_for("the reload stands still", Duration::from_secs(20), waits_more);
    for _ in 0..10 {
        let asked = Instant::now();
        create(&server);
        server.send(&Request::new("GET", "/v2/images")).expect(200);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    }
    assert!(!server.log().contains("configuration reloaded"), "{}", server.log());
    mount.go_on();
    server.log_with("configuration reloaded");
}

#[test]
fn full_disk() {
    let (server, _disk) = Server::with_disk(|conf| (SmallDisk::on(conf.dir.join("images"), 4 * MIB), conf));
    for body in [Body::Sized(vec![b'x'; 8 * MIB]), Body::Chunked(vec![vec![b'x'; MIB]; 8])] {
        let id = create(&server);
        let answer = server.send(&upload(&id, body)).expect(413);
        assert!(answer.text().contains("Image storage media is full"), "{}", answer.text());
        assert_recovered(&server, &id);
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
}

/// The soft limit on descriptors (`RLIMIT_NOFILE`) of a running server.
fn limit_descriptors(server: &Server, limit: usize) {
    let done = Command::new("prlimit").args([format!("--pid={}", server.pid()), format!("--nofile={limit}:")]).status();
    assert!(done.unwrap().success());
}

/// Leaves the server so many descriptors beside those that it has.
fn leave_descriptors(server: &Server, free: usize) {
    let entries = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let used: BTreeSet<usize> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    limit_descriptors(server, (0..).filter(|number| !used.contains(number)).nth(free).unwrap());
}

/// They end before the intent log's entry in one round, before the file of the data in the next, and so on.
#[test]
fn without_a_descriptor_data_comes_and_goes_later() {
    let server = Server::simple();
    // One connection, which is there already. One that ends would give a descriptor back.
    let mut client = server.client();
    let image = Request::new("POST", "/v2/images").json(&json!({"disk_format": "raw", "container_format": "bare"}));
    let create = |client: &mut Client| client.send(&image).expect(201).json()["id"].as_str().unwrap().to_owned();
    let there = create(&mut client);
    client.send(&upload(&there, Body::Sized(vec![b'x'; 1000]))).expect(204);
    let get = Request::new("GET", &format!("/v2/images/{there}/file"));
    client.send(&get).expect(200);
    for free in 0..6 {
        let [uploaded, staged] = [create(&mut client), create(&mut client)];
        let stage = Request::new("PUT", &format!("/v2/images/{staged}/stage")).data(Body::Sized(vec![b'x'; 1000]));
        for (what, request) in [
            ("an upload", &upload(&uploaded, Body::Sized(vec![b'x'; 1000]))),
            ("staging", &stage),
            ("a download", &get),
        ] {
            leave_descriptors(&server, free);
            let answer = client.send(request);
            limit_descriptors(&server, 1024);
            assert!(
                matches!(answer.status, 200 | 204 | 503),
                "{what} with {free}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    for doing in ["the intent log", "creating", "opening"] {
        server.log_with(&format!("status=503 cause={doing}"));
    }
    client.send(&get).expect(200);
    let id = create(&mut client);
    client.send(&upload(&id, Body::Sized(vec![b'y'; 1000]))).expect(204);
}
