//! The end of a worker.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::data;
use super::harness::{Setup, answered, pause, wait_for};

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
