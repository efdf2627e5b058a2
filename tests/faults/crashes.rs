//! The service dies, or is stopped, in the middle of something.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::{Body, Conf, Request, Server, free_port};
use crate::{MIB, assert_recovered, begin_upload, create, files, status, upload};

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
    let mut server = Server::with(|conf| conf.own_state().set("service.graceful_shutdown_timeout", 1));
    let id = create(&server);
    let stream = begin_upload(&server, &id, 64 * MIB, 8 * MIB);
    let state = server.conf.dir.join("state");
    assert!(!files(&state).is_empty(), "nothing is written down that might be left");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_end(Duration::from_secs(10)).code(), Some(0));
    drop(stream);
    let left = files(&state);
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
