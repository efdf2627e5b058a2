//! Requests of other clients while imports run.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::common::latency::{assert_hardly_slower, times};
use super::super::common::{Body, Conf, Request, Server, http, is_thorough, pause, wait_for};
use super::super::{MIB, PATIENCE, create, import, shown, wait_for_task};

const IMPORTS: usize = 8;
/// Before each time with imports there is one without: what else the machine does is in both.
const ROUNDS: usize = 10;
const TIME: Duration = Duration::from_millis(1500);
/// Bytes a second of all imports: what a network of 1 Gbit/s brings, and what no machine notices.
const FAST: usize = 128 * MIB;
const SLOW: usize = 4 * MIB;

/// Bytes of memory that so many imports may need.
const MEMORY: u64 = 64 * MIB as u64;

/// A web server of data that comes at a steady pace until `stop`. Gives its port.
fn steady(pace: usize, stop: &Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        for connection in listener.incoming().take(IMPORTS) {
            let (connection, stop) = (connection.unwrap(), Arc::clone(&stop));
            thread::spawn(move || send(&connection, pace, &stop));
        }
    });
    port
}

fn send(mut connection: &TcpStream, pace: usize, stop: &AtomicBool) {
    const PAUSE: Duration = Duration::from_millis(10);
    http::skip_head(connection);
    connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
    let (begun, piece, mut sent) = (Instant::now(), vec![b'i'; MIB / 4], 0);
    while !stop.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_millis() as usize * (pace / 1000);
        let next = due.saturating_sub(sent).min(piece.len());
        connection.write_all(&piece[..next]).unwrap();
        sent += next;
        if next < piece.len() {
            pause(PAUSE);
        }
    }
}

#[test]
fn requests_of_others_hardly_notice_imports() {
    let server = Server::with(|conf: Conf| {
        conf.two_stores()
            .own_state()
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", "[]")
    });
    let (rounds, time, pace) = if is_thorough() { (ROUNDS, TIME, FAST) } else { (1, Duration::ZERO, SLOW) };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        without.extend(times(&server, || start.elapsed() > time));
        let idle = server.resident();
        let stop = Arc::new(AtomicBool::new(false));
        let uri = format!("http://127.0.0.1:{}/data", steady(pace / IMPORTS, &stop));
        let document = json!({"method": {"name": "web-download", "uri": uri}, "stores": ["fast"]});
        let ids = [(); IMPORTS].map(|()| create(&server));
        ids.iter().for_each(|id| import(&server, id, &document));
        let all_run = || ids.iter().all(|id| shown(&server, id)["status"] == "importing");
        wait_for("the imports run", PATIENCE, || all_run().then_some(()));
        let start = Instant::now();
        with.extend(times(&server, || start.elapsed() > time));
        assert!(all_run());
        let more = server.resident().saturating_sub(idle);
        assert!(more <= MEMORY, "{more} bytes more than without imports");
        stop.store(true, Ordering::Relaxed);
        for id in &ids {
            wait_for_task(&server, id, "success");
            server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
        }
    }
    assert_hardly_slower(without, with, &format!("{IMPORTS} imports bring {} MiB/s", pace / MIB));
}

#[test]
fn whoever_waits_for_a_task_does_not_slow_it_down() {
    const SIZE: usize = 1024 * MIB;
    if !is_thorough() {
        // On a machine that does other work, the times say nothing.
        return;
    }
    let server = Server::with(|conf: Conf| conf.two_stores().own_state());
    let id = create(&server);
    let data = Request::new("PUT", &format!("/v2/images/{id}/file")).data(Body::Sized(vec![b'w'; SIZE]));
    server.send(&data).expect(204);
    let time_of = |meanwhile: &dyn Fn()| {
        // Former requests are forgotten.
        pause(Duration::from_secs(3));
        import(&server, &id, &json!({"method": {"name": "copy-image"}, "stores": ["slow"]}));
        let (begun, copy) = (Instant::now(), server.conf.dir.join("slow").join(&id));
        wait_for("the copy", PATIENCE, || {
            meanwhile();
            copy.try_exists().unwrap().then_some(())
        });
        let time = begun.elapsed();
        wait_for_task(&server, &id, "success");
        server.send(&Request::new("DELETE", &format!("/v2/stores/slow/{id}"))).expect(204);
        time
    };
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..5 {
        let unasked = time_of(&|| {});
        let asked = time_of(&|| drop(shown(&server, &id)));
        shortest = [shortest[0].min(unasked), shortest[1].min(asked)];
    }
    let [unasked, asked] = shortest;
    let measured = format!("{asked:?} when its client asks how it goes on, {unasked:?} when nobody does");
    eprintln!("{measured}");
    assert!(asked < unasked * 5 / 4, "{measured}");
}
