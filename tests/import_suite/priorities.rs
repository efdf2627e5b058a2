//! What imports do when there is other work for the processors.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::super::common::{Body, Request, Server, pause, wait_for};
use super::super::{MIB, PATIENCE, create, import};

/// A web server whose only file has no end, at a pace that fills no disk. Gives its port.
fn endless() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let mut sent = connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            // Until the service is gone.
            while sent.is_ok() {
                pause(Duration::from_millis(5));
                sent = connection.write_all(&[b'e'; 64 * 1024]);
            }
        }
    });
    port
}

/// Name and nice value of each thread of the service.
fn threads(server: &Server) -> Vec<(String, i32)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten();
    // Threads come and go.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let read = |stat: String| {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        // Behind the name: the fields from the third on; this is the nineteenth (proc_pid_stat(5)).
        Some((name.to_owned(), rest.split_whitespace().nth(16)?.parse().ok()?))
    };
    stats.map(|stat| read(stat).unwrap()).collect()
}

#[test]
fn threads_that_import_give_way_to_those_of_requests() {
    let port = endless();
    let server = Server::with(|conf| {
        conf.two_stores()
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{port}]"))
    });
    let own = rustix::process::getpriority_process(None).unwrap();
    let (uploaded, imported) = (create(&server), create(&server));
    let upload = Request::new("PUT", &format!("/v2/images/{uploaded}/file")).data(Body::Sized(vec![b'u'; MIB]));
    server.send(&upload).expect(204);
    let uri = format!("http://127.0.0.1:{port}/image");
    let document = json!({"method": {"name": "web-download", "uri": uri}, "stores": ["fast", "slow"]});
    import(&server, &imported, &document);
    wait_for("threads that digest and write in the background", PATIENCE, || {
        let threads = threads(&server);
        // One that has just begun is not lower yet.
        let give_way = |name: &str| {
            let mut of_name = threads.iter().filter(|(found, _)| found == name).peekable();
            of_name.peek().is_some() && of_name.all(|(_, nice)| *nice == (own + 10).min(19))
        };
        (give_way("glance-hash-bg") && give_way("glance-write-bg")).then_some(())
    });
    // The upload's threads, and all others, are as before.
    let others = threads(&server);
    let mut others = others.iter().filter(|(name, _)| !name.ends_with("-bg"));
    assert!(others.all(|(_, nice)| *nice == own), "{:?}", threads(&server));
}
