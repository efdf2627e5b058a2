//! What imports do when there is other work for the processors.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::super::common::{Body, Request, Server, http, pause, wait_for};
use super::super::{MIB, PATIENCE, create, import};

/// A web server whose only file has no end, at a pace that fills no disk. Gives its port.
fn endless() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            http::skip_head(&connection);
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

/// A service that may download from this port.
fn importer(port: u16) -> Server {
    Server::with(|conf| {
        conf.two_stores()
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{port}]"))
    })
}

/// Waits until there are threads of each of these names that have all lowered their priority.
#[track_caller]
fn wait_for_nice(server: &Server, names: &[&str]) {
    let nice = (rustix::process::getpriority_process(None).unwrap() + 10).min(19);
    wait_for("threads that work in the background", PATIENCE, || {
        let threads = server.threads();
        // One that has just begun is not lower yet.
        let give_way = |name: &&str| {
            let mut of_name = threads.iter().filter(|(found, _)| found == name).peekable();
            of_name.peek().is_some() && of_name.all(|(_, of_thread)| *of_thread == nice)
        };
        names.iter().all(give_way).then_some(())
    });
}

#[test]
fn threads_that_import_give_way_to_those_of_requests() {
    let port = endless();
    let server = importer(port);
    let own = rustix::process::getpriority_process(None).unwrap();
    let (uploaded, imported) = (create(&server), create(&server));
    let upload = Request::new("PUT", &format!("/v2/images/{uploaded}/file")).data(Body::Sized(vec![b'u'; MIB]));
    server.send(&upload).expect(204);
    let uri = format!("http://127.0.0.1:{port}/image");
    let document = json!({"method": {"name": "web-download", "uri": uri}, "stores": ["fast", "slow"]});
    import(&server, &imported, &document);
    wait_for_nice(&server, &["glance-data-bg", "glance-hash-bg", "glance-write-bg"]);
    // The upload's threads, and all others, are as before.
    let others = server.threads();
    let mut others = others.iter().filter(|(name, _)| !name.ends_with("-bg"));
    assert!(others.all(|(_, nice)| *nice == own), "{:?}", server.threads());
}

#[test]
fn a_download_that_a_task_works_on_is_kept_by_a_thread_that_gives_way() {
    let port = endless();
    let server = importer(port);
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    let uri = format!("http://127.0.0.1:{port}/image");
    let input = json!({"import_from": uri, "import_from_format": "", "image_properties": image});
    let task = json!({"type": "import", "input": input});
    server.send(&Request::new("POST", "/v2/tasks").json(&task)).expect(201);
    wait_for_nice(&server, &["glance-data-bg", "glance-bg"]);
}
