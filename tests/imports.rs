//! Imports end: well, with a word about the cause, or after a crash, and leave nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;
mod import_suite;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::disk::FuseMount;
use common::{Body, Conf, Request, Server, http, pause, wait_for};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(40);
/// As long as a worker of another host may be silent.
const LEASE: Duration = Duration::from_secs(75);
const NOWHERE: &str = "None of the uploads finished!";

/// A web server with one file of three MiB. It sends the first MiB, and the rest when it is told to; what is sent is only half of what was
/// announced when it is told not to.
struct Web {
    port: u16,
    go_on: mpsc::Sender<bool>,
    /// Tells of each request that has got its first MiB.
    asked: mpsc::Receiver<()>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (go_on, told) = mpsc::channel();
        let (tell, asked) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                http::skip_head(&connection);
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", 3 * MIB);
                // Whoever asked may be gone by now.
                let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&vec![b'a'; MIB]));
                // At the end of a test nobody listens.
                let _ = tell.send(());
                if told.recv().unwrap_or(false) {
                    let _ = connection.write_all(&vec![b'b'; 2 * MIB]);
                }
            }
        });
        Self { port, go_on, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/image", self.port)
    }
}

fn conf(web: &Web) -> impl FnOnce(Conf) -> Conf {
    let port = web.port;
    move |conf| {
        conf.two_stores()
            .own_state()
            .set("wsgi.task_pool_threads", 1)
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{port}]"))
    }
}

/// A service whose store `slow` is on a mount that may stall.
fn with_slow_mount(change: impl FnOnce(Conf) -> Conf) -> (Server, FuseMount) {
    Server::with_disk(|conf| (FuseMount::on(conf.dir.join("slow"), &conf.dir.join("source")), change(conf)))
}

fn create(server: &Server) -> String {
    let image = json!({"name": "imported", "disk_format": "raw", "container_format": "bare"});
    let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn import(server: &Server, id: &str, document: &Value) {
    server.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(document)).expect(202);
}

fn download(web: &Web) -> Value {
    json!({"method": {"name": "web-download", "uri": web.url()}, "stores": ["fast", "slow"]})
}

fn direct() -> Value {
    json!({"method": {"name": "glance-direct"}})
}

fn stage(server: &Server, id: &str, data: &[u8]) {
    let request = Request::new("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(data.to_vec()));
    server.send(&request).expect(204);
}

fn shown(server: &Server, id: &str) -> Value {
    server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json()
}

fn task(server: &Server, id: &str) -> Value {
    let tasks = server.send(&Request::new("GET", &format!("/v2/images/{id}/tasks"))).expect(200).json();
    tasks["tasks"].as_array().unwrap().last().unwrap().clone()
}

#[track_caller]
fn wait_for_task(server: &Server, id: &str, status: &str) -> Value {
    wait_for(&format!("the task's {status}"), PATIENCE, || {
        Some(task(server, id)).filter(|task| task["status"] == status)
    })
}

/// Waits until a download is under way.
fn wait_for_begin(web: &Web, server: &Server, id: &str) {
    web.asked.recv_timeout(PATIENCE).unwrap();
    wait_for("the import begins", PATIENCE, || (shown(server, id)["status"] == "importing").then_some(()));
}

/// Nothing of any image is in a store, in the staging area or in the intent log.
#[track_caller]
fn assert_nothing_left(conf: &Conf) {
    assert_nothing_left_after(PATIENCE, conf);
}

/// As [`assert_nothing_left`], each of the places after so long at most.
#[track_caller]
fn assert_nothing_left_after(patience: Duration, conf: &Conf) {
    for folder in ["fast", "slow", "staging"] {
        // A task tells how it has ended before what was staged for it goes.
        wait_for(&format!("{folder} is empty"), patience, || objects(conf, folder).is_empty().then_some(()));
    }
    for log in fs::read_dir(conf.dir.join("state/uploads")).unwrap() {
        let log = log.unwrap().path();
        // What a crash has kept from becoming an entry stays for an hour.
        let is_entry = |name: &std::ffi::OsString| !name.to_string_lossy().ends_with(".new");
        let entries = || fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name()).filter(is_entry).count();
        wait_for("the intent log is empty", patience, || (entries() == 0).then_some(()));
    }
}

#[track_caller]
fn assert_free(image: &Value, status: &str) {
    assert_eq!(image["status"], status, "{image}");
    assert_eq!(image.get("os_glance_import_task"), None, "{image}");
    assert_eq!(image["os_glance_importing_to_stores"], "", "{image}");
}

fn sqlite(database: &Path, sql: &str) -> String {
    let out = Command::new("sqlite3").arg("-cmd").arg(".timeout 5000").arg(database).arg(sql).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_download_goes_into_all_stores_and_a_failed_one_names_its_cause() {
    let web = Web::start();
    let server = Server::with(conf(&web));
    let id = create(&server);
    import(&server, &id, &download(&web));
    wait_for_begin(&web, &server, &id);
    let image = shown(&server, &id);
    assert_eq!(image["os_glance_importing_to_stores"], "fast,slow");
    let again = Request::new("POST", &format!("/v2/images/{id}/import")).json(&download(&web));
    assert_eq!(server.send(&again).status, 409, "another import of the same image");
    // The data is judged as what the image was when the import began, and so it is told.
    let formats = json!([
        {"op": "replace", "path": "/disk_format", "value": "qcow2"},
        {"op": "replace", "path": "/container_format", "value": "ovf"},
    ]);
    let patch = Request::patch(&format!("/v2/images/{id}"), &formats);
    assert_eq!(server.send(&patch).expect(200).json()["disk_format"], "qcow2");
    web.go_on.send(true).unwrap();
    let done = wait_for_task(&server, &id, "success");
    assert_eq!((&done["result"]["image_id"], &done["type"]), (&json!(id), &json!("api_image_import")));
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!((&image["stores"], &image["size"]), (&json!("fast,slow"), &json!(3 * MIB)));
    assert_eq!((&image["disk_format"], &image["container_format"]), (&json!("raw"), &json!("bare")));
    let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200).body;
    assert!(data[..MIB].iter().all(|byte| *byte == b'a') && data[MIB..].iter().all(|byte| *byte == b'b'));
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert_nothing_left(&server.conf);

    let id = create(&server);
    import(&server, &id, &download(&web));
    web.go_on.send(false).unwrap();
    let failed = wait_for_task(&server, &id, "failure");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("broke after 1048576 bytes"), "{message}");
    let image = shown(&server, &id);
    assert_free(&image, "queued");
    assert_eq!(image["os_glance_failed_import"], "fast,slow");
    assert_nothing_left(&server.conf);

    // A client has emptied the list of stores: nothing takes the data, which the staging area does not keep either.
    let nowhere = |method: Value| json!({"method": method, "stores": []});
    import(&server, &id, &nowhere(json!({"name": "web-download", "uri": web.url()})));
    let staged = create(&server);
    stage(&server, &staged, &[b'w'; 1000]);
    import(&server, &staged, &nowhere(json!({"name": "glance-direct"})));
    for id in [&id, &staged] {
        wait_for("the task's end", PATIENCE, || (task(&server, id)["message"] == NOWHERE).then_some(()));
        let image = shown(&server, id);
        assert_free(&image, "queued");
        assert_eq!((&image["size"], image.get("stores")), (&Value::Null, None), "{image}");
    }
    assert_nothing_left(&server.conf);
}

#[test]
fn an_image_that_is_deleted_during_its_import_leaves_nothing() {
    // With a plugin that needs a file, the data is on its way into the staging area.
    for plugins in ["[]", "[image_decompression]"] {
        let web = Web::start();
        let server = Server::with(|of| conf(&web)(of).set("image_import_opts.image_import_plugins", plugins));
        let id = create(&server);
        import(&server, &id, &download(&web));
        wait_for_begin(&web, &server, &id);
        let tasks = server.send(&Request::new("GET", "/v2/tasks")).expect(200).json();
        let task = tasks["tasks"][0]["id"].as_str().unwrap().to_owned();
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
        web.go_on.send(true).unwrap();
        let failed = wait_for("the task's end", PATIENCE, || {
            let task = server.send(&Request::new("GET", &format!("/v2/tasks/{task}"))).expect(200).json();
            (task["status"] == "failure").then_some(task)
        });
        assert_eq!(failed["message"], "Image has been deleted, aborting import.");
        assert_nothing_left(&server.conf);
    }
}

#[test]
fn a_task_says_how_much_of_its_data_is_staged() {
    let web = Web::start();
    let plugins = "[image_decompression]";
    let server = Server::with(|of| conf(&web)(of).set("image_import_opts.image_import_plugins", plugins));
    let id = create(&server);
    import(&server, &id, &download(&web));
    wait_for_begin(&web, &server, &id);
    // It says so every half of a minute.
    wait_for("a report", LEASE, || (task(&server, &id)["message"] == "Copied 1 MiB (33 %)").then_some(()));
    web.go_on.send(true).unwrap();
    assert_eq!(wait_for_task(&server, &id, "success")["message"], "Copied 3 MiB");
}

#[test]
fn formats_that_were_to_be_changed_during_an_import_stay_once_the_image_is_active() {
    let server = Server::simple();
    let id = create(&server);
    let database = server.conf.database();
    sqlite(&database, &format!("update images set status = 'importing' where id = '{id}'"));
    // The image becomes active between the look at it and the change.
    let mut other =
        Command::new("sqlite3").arg(&database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = other.stdin.take().unwrap();
    let begin = format!("begin immediate; update images set status = 'active' where id = '{id}'; select 'held';\n");
    input.write_all(begin.as_bytes()).unwrap();
    let mut held = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut held).unwrap();
    assert_eq!(held.trim(), "held");
    let change = json!([{"op": "replace", "path": "/disk_format", "value": "qcow2"}]);
    let patch = Request::patch(&format!("/v2/images/{id}"), &change);
    let (address, id_of_client) = (server.address, id.clone());
    let client = thread::spawn(move || (http::Client::new(address).send(&patch).status, id_of_client));
    pause(Duration::from_secs(2));
    input.write_all(b"commit;\n.quit\n").unwrap();
    assert!(other.wait().unwrap().success());
    assert_eq!(client.join().unwrap().0, 409);
    assert_eq!(shown(&server, &id)["disk_format"], "raw");
}

/// Names of the objects in a folder of the service.
fn objects(conf: &Conf, folder: &str) -> Vec<String> {
    let names = fs::read_dir(conf.dir.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}
