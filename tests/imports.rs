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
use std::time::{Duration, Instant};

use common::disk::FuseMount;
use common::{Body, Conf, Request, Server, free_port, http, pause, wait_for};
use nix::sys::signal::Signal;
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
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
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
        let state = conf.dir.join("state").display().to_string();
        conf.two_stores()
            .set("service.state_directory", state)
            .set("wsgi.task_pool_threads", 1)
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{port}]"))
    }
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
    for folder in ["fast", "slow", "staging"] {
        let left: Vec<_> =
            fs::read_dir(conf.dir.join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().starts_with('.')), "{folder}: {left:?}");
    }
    for log in fs::read_dir(conf.dir.join("state/uploads")).unwrap() {
        let log = log.unwrap().path();
        wait_for("the intent log is empty", PATIENCE, || (fs::read_dir(&log).unwrap().count() == 0).then_some(()));
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
    // The data is judged as what the image was when the import was asked for, and so it is told.
    let formats = json!([
        {"op": "replace", "path": "/disk_format", "value": "qcow2"},
        {"op": "replace", "path": "/container_format", "value": "ovf"},
    ]);
    let mut patch = Request::new("PATCH", &format!("/v2/images/{id}")).json(&formats);
    patch.headers[0].1 = "application/openstack-images-v2.1-json-patch".to_owned();
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
fn a_crash_during_a_download_leaves_a_queued_image_and_nothing_else() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let (first, waiting) = (create(&server), create(&server));
    import(&server, &first, &download(&web));
    wait_for_begin(&web, &server, &first);
    // One runs at a time.
    import(&server, &waiting, &download(&web));
    assert_eq!(task(&server, &waiting)["status"], "pending");
    server.crash();
    web.go_on.send(false).unwrap();
    server.start_again();
    // Before the first request, as this is the machine of the worker that died.
    for (id, text) in [(&first, "while it worked on this task"), (&waiting, "before it began this task")] {
        let task = task(&server, id);
        assert!(task["status"] == "failure" && task["message"].as_str().unwrap().contains(text), "{task}");
        let image = shown(&server, id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!("queued"), None), "{image}");
    }
    assert_nothing_left(&server.conf);
    import(&server, &first, &download(&web));
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &first, "success");
    assert_free(&shown(&server, &first), "active");
}

#[test]
fn a_crash_while_staging_leaves_a_queued_image_and_staged_data_survives_one() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let (half, whole, gone) = (create(&server), create(&server), create(&server));
    for id in [&whole, &gone] {
        stage(&server, id, &vec![b'w'; MIB]);
    }
    let mut stream = http::connect(server.address).unwrap();
    let head = Request::new("PUT", &format!("/v2/images/{half}/stage"))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", &(8 * MIB).to_string())
        .head("localhost");
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; MIB]).unwrap();
    wait_for("staging", PATIENCE, || (shown(&server, &half)["status"] == "uploading").then_some(()));
    server.crash();
    // As if the worker had died between the row and the staged data.
    sqlite(&server.conf.database(), &format!("update images set deleted = 1, status = 'deleted' where id = '{gone}'"));
    server.start_again();
    assert_eq!(shown(&server, &half)["status"], "queued");
    let staging = server.conf.dir.join("staging");
    wait_for("data of a deleted image goes", PATIENCE, || (!staging.join(&gone).try_exists().unwrap()).then_some(()));
    assert!(!staging.join(&half).try_exists().unwrap());
    import(&server, &whole, &json!({"method": {"name": "glance-direct"}, "all_stores": true}));
    wait_for_task(&server, &whole, "success");
    let image = shown(&server, &whole);
    assert_free(&image, "active");
    assert_eq!((&image["size"], &image["stores"]), (&json!(MIB), &json!("fast,slow")));
    server.send(&Request::new("DELETE", &format!("/v2/images/{whole}"))).expect(204);
    assert_nothing_left(&server.conf);
}

#[test]
fn an_image_that_is_deleted_during_its_import_leaves_nothing() {
    let web = Web::start();
    let server = Server::with(conf(&web));
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

#[test]
fn the_imports_of_a_host_that_died_are_ended_by_another_host() {
    let (web, mut mount) = (Web::start(), None);
    let mut server = Server::with(|conf_of| {
        mount = Some(FuseMount::on(conf_of.dir.join("slow"), &conf_of.dir.join("source")));
        conf(&web)(conf_of)
    });
    let mount = mount.unwrap();
    let [running, hung, waiting, staged] = [(); 4].map(|()| create(&server));
    stage(&server, &staged, &[b'w'; 1000]);
    let to = |stores: &[&str]| json!({"method": {"name": "web-download", "uri": web.url()}, "stores": stores});
    import(&server, &running, &to(&["fast"]));
    wait_for_begin(&web, &server, &running);
    import(&server, &hung, &to(&["slow", "fast"]));
    import(&server, &waiting, &to(&["fast"]));
    import(&server, &staged, &direct());
    server.crash();
    web.go_on.send(false).unwrap();
    let other = Server::start(elsewhere(&server.conf, "other"));
    mount.stall();
    // Whatever the clock of the other host said: only what is seen from here counts.
    sqlite(&server.conf.database(), "update tasks set updated_at = '2020-01-01 00:00:00.000000'");
    let begin = Instant::now();
    let ended = |id: &String| {
        wait_for("the end of a task", LEASE * 2, || Some(task(&other, id)).filter(|task| task["status"] == "failure"))
    };
    let message = ended(&running)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("The service ended while it worked on this task"), "{message}");
    assert!(begin.elapsed() > LEASE - Duration::from_secs(5), "{:?}: the host may live", begin.elapsed());
    assert_free(&shown(&other, &running), "queued");
    // A store that does not answer holds up nobody else, and its image is nobody's until it does.
    ended(&waiting);
    assert_free(&shown(&other, &waiting), "queued");
    ended(&staged);
    assert_eq!(shown(&other, &staged)["status"], "uploading");
    import(&other, &staged, &direct());
    wait_for_task(&other, &staged, "success");
    wait_for("the image is taken", PATIENCE, || (shown(&other, &hung)["status"] == "importing").then_some(()));
    assert_eq!(task(&other, &hung)["status"], "pending");
    let upload = Request::new("PUT", &format!("/v2/images/{hung}/file")).data(Body::Sized(vec![b'u'; 1000]));
    assert_eq!(other.send(&upload).status, 409);
    mount.go_on();
    ended(&hung);
    assert_free(&shown(&other, &hung), "queued");
    other.send(&upload).expect(204);

    import(&other, &running, &download(&web));
    web.go_on.send(true).unwrap();
    wait_for_task(&other, &running, "success");
    assert_free(&shown(&other, &running), "active");
    drop(other);
    // The host that had died comes back, and leaves alone what is not its own any more.
    server.start_again();
    for (id, size) in [(&running, 3 * MIB), (&hung, 1000), (&staged, 1000)] {
        assert_eq!(shown(&server, id)["status"], "active");
        let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200).body;
        assert_eq!(data.len(), size);
    }
    drop((server, mount));
}

#[test]
fn a_stop_finishes_what_runs_keeps_its_lease_and_begins_nothing_more() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let [running, waiting, staged] = [(); 3].map(|()| create(&server));
    stage(&server, &staged, &[b'w'; 1000]);
    import(&server, &running, &download(&web));
    wait_for_begin(&web, &server, &running);
    import(&server, &waiting, &download(&web));
    import(&server, &staged, &direct());
    let other = Server::start(elsewhere(&server.conf, "other"));
    server.signal(Signal::SIGTERM);
    for (id, status) in [(&waiting, "queued"), (&staged, "uploading")] {
        let ended = wait_for_task(&other, id, "failure");
        assert!(ended["message"].as_str().unwrap().contains("stopped before it began this task"), "{ended}");
        let image = shown(&other, id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!(status), None), "{image}");
    }
    import(&other, &staged, &direct());
    wait_for_task(&other, &staged, "success");
    // Twice before the task tells how far it is.
    let renewed_at =
        || sqlite(&server.conf.database(), &format!("select updated_at from tasks where image_id = '{running}'"));
    let before = renewed_at();
    wait_for("a renewal of the lease", Duration::from_secs(22), || (renewed_at() != before).then_some(()));
    web.go_on.send(true).unwrap();
    wait_for_task(&other, &running, "success");
    assert_free(&shown(&other, &running), "active");
    assert!(server.wait_end(PATIENCE).success());
}

#[test]
fn data_that_a_plugin_has_changed_does_not_survive_a_crash() {
    let (web, mut mount) = (Web::start(), None);
    let mut server = Server::with(|conf_of| {
        mount = Some(FuseMount::on(conf_of.dir.join("slow"), &conf_of.dir.join("source")));
        conf(&web)(conf_of).set("image_import_opts.image_import_plugins", "[image_decompression]")
    });
    let mount = mount.unwrap();
    let id = create(&server);
    let disk = server.conf.dir.join("disk");
    fs::write(&disk, vec![b'd'; MIB]).unwrap();
    let compressed = Command::new("gzip").arg("-c").arg(&disk).output().unwrap().stdout;
    stage(&server, &id, &compressed);
    mount.stall();
    import(&server, &id, &json!({"method": {"name": "glance-direct"}, "stores": ["slow"]}));
    let staged = server.conf.dir.join("staging").join(&id);
    let is_decompressed = || fs::metadata(&staged).is_ok_and(|file| file.len() == MIB as u64).then_some(());
    wait_for("the staged data is decompressed", PATIENCE, is_decompressed);
    // It ends when the store answers.
    server.signal(Signal::SIGKILL);
    mount.go_on();
    server.wait_end(PATIENCE);
    server.start_again();
    // It would not fit the image's size.
    let image = shown(&server, &id);
    assert_free(&image, "queued");
    assert_eq!(image["size"], Value::Null);
    assert_nothing_left(&server.conf);
    stage(&server, &id, &compressed);
    import(&server, &id, &json!({"method": {"name": "glance-direct"}, "all_stores": true}));
    wait_for_task(&server, &id, "success");
    assert_eq!(shown(&server, &id)["size"], MIB);
    drop((server, mount));
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
    let mut patch = Request::new("PATCH", &format!("/v2/images/{id}"))
        .json(&json!([{"op": "replace", "path": "/disk_format", "value": "qcow2"}]));
    patch.headers[0].1 = "application/openstack-images-v2.1-json-patch".to_owned();
    let (address, id_of_client) = (server.address, id.clone());
    let client = thread::spawn(move || (http::Client::new(address).send(&patch).status, id_of_client));
    pause(Duration::from_millis(500));
    input.write_all(b"commit;\n.quit\n").unwrap();
    assert!(other.wait().unwrap().success());
    assert_eq!(client.join().unwrap().0, 409);
    assert_eq!(shown(&server, &id)["disk_format"], "raw");
}

#[test]
fn an_image_is_taken_from_a_task_that_has_long_been_silent() {
    let web = Web::start();
    let server = Server::with(conf(&web));
    let id = create(&server);
    let database = server.conf.database();
    for (task, time, status) in [("t-new", "2999-01-01", 409), ("t-old", "2020-01-01", 202), ("t-none", "", 202)] {
        // Of upstream's server: nobody owns the data.
        if !time.is_empty() {
            sqlite(
                &database,
                &format!(
                    "insert into tasks (id, type, status, owner, created_at, updated_at, deleted, image_id) values \
                     ('{task}', 'api_image_import', 'processing', '', '{time} 00:00:00.000000', '{time} 00:00:00.000000', 0, \
                     '{id}'); insert into task_info (task_id, input) values ('{task}', '{{\"backend\": [\"fast\"]}}')"
                ),
            );
        }
        sqlite(
            &database,
            &format!(
                "delete from image_properties; insert into image_properties (image_id, name, value, created_at, deleted) values \
                 ('{id}', 'os_glance_import_task', '{task}', '2020-01-01 00:00:00.000000', 0)"
            ),
        );
        let request = Request::new("POST", &format!("/v2/images/{id}/import")).json(&download(&web));
        assert_eq!(server.send(&request).status, status, "{task}");
        if status == 202 {
            web.go_on.send(false).unwrap();
            wait_for("the import's end", PATIENCE, || {
                shown(&server, &id).get("os_glance_import_task").is_none().then_some(())
            });
        }
    }
    let old = server.send(&Request::new("GET", "/v2/tasks/t-old")).expect(200).json();
    assert_eq!((&old["status"], &old["message"]), (&json!("failure"), &json!("Expired lock preempted")));
}

/// Another host: the same database and stores, with a state directory of its own.
fn elsewhere(conf: &Conf, name: &str) -> Conf {
    let mut other = conf.clone();
    other.dir = conf.dir.join(name);
    other.port = free_port();
    fs::create_dir_all(&other.dir).unwrap();
    let (port, state) = (other.port, other.dir.join("state").display().to_string());
    other.set("DEFAULT.bind_port", port).set("service.state_directory", state)
}

/// As [`elsewhere`], with a staging area of its own.
fn host(conf: &Conf, name: &str) -> Server {
    let other = elsewhere(conf, name);
    let staging = other.dir.join("staging").display().to_string();
    let url = format!("http://127.0.0.1:{}", other.port);
    let other = other.set("os_glance_staging_store.filesystem_store_datadir", staging);
    Server::start(other.set("DEFAULT.worker_self_reference_url", url))
}

#[test]
fn the_host_that_has_the_staged_data_imports_and_deletes() {
    let web = Web::start();
    let first = Server::with(conf(&web));
    let [mut near, far] = ["near", "far"].map(|name| host(&first.conf, name));
    let stage = |server: &Server| {
        let id = create(server);
        stage(server, &id, &vec![b'w'; MIB]);
        assert_eq!(shown(server, &id).get("os_glance_stage_host"), None);
        id
    };
    let staged = |name: &str, id: &str| first.conf.dir.join(name).join("staging").join(id).try_exists().unwrap();
    let direct = direct();
    let id = stage(&near);
    assert!(staged("near", &id) && !staged("far", &id));
    let forwarded = Request::new("POST", &format!("/v2/images/{id}/import")).header("x-openstack-request-id", "far");
    let accepted = far.send(&forwarded.json(&direct)).expect(202);
    // The log of the host that has done the work tells of the request under that id.
    let request_id = accepted.header("x-openstack-request-id").unwrap().to_owned();
    assert_ne!(request_id, "req-far");
    near.log_with(&request_id);
    wait_for_task(&far, &id, "success");
    assert_eq!(shown(&far, &id)["status"], "active");
    wait_for("the staged data goes", PATIENCE, || (!staged("near", &id)).then_some(()));

    let id = stage(&near);
    far.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert!(!staged("near", &id));

    let id = stage(&near);
    near.crash();
    let refused = far.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&direct));
    assert!(refused.status == 504 && refused.text().contains("Stage host is unavailable"), "{}", refused.text());
    assert_eq!(shown(&far, &id)["status"], "uploading");
    far.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert!(staged("near", &id));
    near.start_again();
    wait_for("the staged data of a deleted image goes", PATIENCE, || (!staged("near", &id)).then_some(()));
}

/// Names of the objects in a folder of the service.
fn objects(conf: &Conf, folder: &str) -> Vec<String> {
    let names = fs::read_dir(conf.dir.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn whenever_a_worker_is_killed_nothing_is_stuck_and_nothing_left() {
    let web = Web::start();
    let mut server = Server::with(|conf_of| conf(&web)(conf_of).set("wsgi.task_pool_threads", 4));
    for round in 0..16_u64 {
        let ids: Vec<String> = (0..3).map(|_| create(&server)).collect();
        let address = server.address;
        let clients: Vec<_> = ids
            .iter()
            .cloned()
            .map(|id| {
                thread::spawn(move || {
                    let mut client = http::Client::new(address);
                    let stage = format!("/v2/images/{id}/stage");
                    let import = format!("/v2/images/{id}/import");
                    let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
                    let copy = json!({"method": {"name": "copy-image"}, "all_stores": true});
                    // The service goes away somewhere in between.
                    let _ = client.try_send(&Request::new("PUT", &stage).data(Body::Sized(vec![b'y'; MIB])));
                    let _ = client.try_send(&Request::new("POST", &import).json(&direct));
                    for _ in 0..20 {
                        let _ = client.try_send(&Request::new("POST", &import).json(&copy));
                    }
                })
            })
            .collect();
        pause(Duration::from_millis(8 + round * 9));
        server.crash();
        clients.into_iter().for_each(|client| client.join().unwrap());
        server.start_again();
        let mut expected = [("fast", Vec::new()), ("slow", Vec::new()), ("staging", Vec::new())];
        for id in &ids {
            let image = shown(&server, id);
            assert_eq!(image.get("os_glance_import_task"), None, "round {round}: {image}");
            let stores = image["stores"].as_str().unwrap_or_default();
            match image["status"].as_str().unwrap() {
                "queued" => assert_eq!(stores, ""),
                "uploading" => expected[2].1.push(id.clone()),
                "active" => assert_eq!((&image["size"], stores.is_empty()), (&json!(MIB), false)),
                _ => panic!("round {round}: {image}"),
            }
            for (store, wanted) in &mut expected[..2] {
                wanted.extend(stores.split(',').any(|name| name == *store).then(|| id.clone()));
            }
        }
        for (folder, mut wanted) in expected {
            wanted.sort();
            assert_eq!(objects(&server.conf, folder), wanted, "round {round}: {folder}");
        }
        let tasks = server.send(&Request::new("GET", "/v2/tasks?limit=1000")).expect(200).json();
        let over = |task: &Value| task["status"] == "success" || task["status"] == "failure";
        assert!(tasks["tasks"].as_array().unwrap().iter().all(over), "round {round}: {tasks}");
        for id in ids {
            server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
        }
    }
}
