//! Disks that are full or do not answer.

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::common::disk::{FuseMount, SmallDisk};
use crate::common::{Answer, Body, Request, Server, http, pause};
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
    let file = std::fs::File::open(server.conf.dir.join("images").join(&id)).unwrap();
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
