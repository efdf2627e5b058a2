//! What becomes of an image that was told of data that did not become its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::common::uploads::begin_upload;
use super::common::{Body, Conf, Request, Server, wait_for};
use super::sql;
use super::web::{places, settled, tell, waiting, web_server, with_locations};

/// A web server that says the same to all, but only while its gate is open. Some of it may always pass.
struct Gated {
    address: SocketAddr,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Default)]
struct Gate {
    is_closed: bool,
    passes: Passes,
    waiting: usize,
}

/// What passes a gate that is closed.
#[derive(Clone, Copy, Debug, Default)]
enum Passes {
    #[default]
    Nothing,
    /// Answers to HEAD.
    Heads,
    /// All but the last byte of data.
    MostData,
}

impl Gated {
    fn new(status: &'static str, length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), gate: Arc::default() };
        let gate = Arc::clone(&server.gate);
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let is_head = first.starts_with("HEAD");
                let body = if is_head { String::new() } else { "x".repeat(length) };
                let answer =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
                let mut seen = gate.0.lock().unwrap();
                let passed = match seen.passes {
                    Passes::Heads if is_head => answer.len(),
                    Passes::MostData => answer.len() - body.len().min(1),
                    Passes::Nothing | Passes::Heads => 0,
                };
                let _ = connection.write_all(&answer.as_bytes()[..passed]);
                if passed < answer.len() {
                    seen.waiting += 1;
                    seen = gate.1.wait_while(seen, |seen| seen.is_closed).unwrap();
                    seen.waiting -= 1;
                }
                drop(seen);
                let _ = connection.write_all(&answer.as_bytes()[passed..]);
            }
        });
        server
    }

    fn close(&self) {
        self.gate.0.lock().unwrap().is_closed = true;
    }

    fn close_but_for(&self, passes: Passes) {
        self.gate.0.lock().unwrap().passes = passes;
        self.close();
    }

    fn wait_for_visitor(&self) {
        wait_for("a visitor", Duration::from_secs(30), || (self.gate.0.lock().unwrap().waiting > 0).then_some(()));
    }

    fn open(&self) {
        self.gate.0.lock().unwrap().is_closed = false;
        self.gate.1.notify_all();
    }
}

fn anywhere(conf: Conf, gated: &Gated) -> Conf {
    with_locations(conf, gated.address).set("import_filtering_opts.allowed_ports", "[]")
}

/// A server, and an image whose data is being asked for.
fn told_of(gated: &Gated) -> (Server, String) {
    let server = Server::with(|conf| anywhere(conf, gated));
    let path = waiting(&server);
    tell(&server, &path, &json!({"url": format!("http://{}/x", gated.address)}));
    gated.wait_for_visitor();
    (server, path)
}

/// An image that was told of data with another digest than it has, and shows the location.
fn refused(server: &Server, web: SocketAddr) -> String {
    let path = waiting(server);
    let digest = json!({"os_hash_algo": "md5", "os_hash_value": "0123456789abcdef0123456789abcdef"});
    tell(server, &path, &json!({"url": format!("http://{web}/same"), "validation_data": digest}));
    let image = settled(server, &path, "queued");
    assert_eq!(places(&image), [format!("http://{web}/same")], "{image}");
    path
}

/// An image that waits for data, and got a location while it had no formats.
fn unformatted(server: &Server, url: &str) -> String {
    let made = server.send(&Request::new("POST", "/v2/images").json(&json!({"name": "a"}))).expect(201).json();
    let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
    tell(server, &path, &json!({"url": url}));
    assert_eq!(places(&settled(server, &path, "queued")), [url]);
    let formats = ["disk_format", "container_format"].map(|name| format!("/{name}"));
    let [disk, container] =
        [(0, "raw"), (1, "bare")].map(|(at, value)| json!({"op": "add", "path": formats[at], "value": value}));
    server.send(&Request::patch(&path, &json!([disk, container]))).expect(200);
    path
}

fn task_of(server: &Server, path: &str) -> Value {
    let tasks = server.send(&Request::new("GET", &format!("{path}/tasks"))).expect(200).json();
    tasks["tasks"][0].clone()
}

#[test]
fn an_upload_that_comes_before_the_place_is_looked_at_leaves_no_lock() {
    let slow = Gated::new("200 OK", 7);
    slow.close();
    let (server, path) = told_of(&slow);
    let upload = Request::new("PUT", &format!("{path}/file")).data(Body::Sized(b"uploaded".to_vec()));
    server.send(&upload).expect(204);
    slow.open();
    wait_for("the task to end", Duration::from_secs(30), || {
        server.log().contains("a task has lost its image to somebody else").then_some(())
    });
    // Recovery works after a reload, and each minute.
    server.signal(Signal::SIGHUP);
    let image = settled(&server, &path, "active");
    assert_eq!(image["size"], 8);
    assert_eq!(task_of(&server, &path)["status"], "failure");
    assert_eq!(server.send(&Request::new("GET", &format!("{path}/file"))).expect(200).text(), "uploaded");
}

#[test]
fn data_that_does_not_come_is_not_waited_for_when_its_image_is_deleted() {
    for passes in [Passes::Nothing, Passes::Heads, Passes::MostData] {
        let slow = Gated::new("200 OK", 7);
        slow.close_but_for(passes);
        let (server, path) = told_of(&slow);
        let task = format!("/v2/tasks/{}", task_of(&server, &path)["id"].as_str().unwrap());
        server.send(&Request::new("DELETE", &path)).expect(204);
        let ended = wait_for("the task to end", Duration::from_secs(30), || {
            let task = server.send(&Request::new("GET", &task)).expect(200).json();
            (task["status"] == "failure").then_some(task)
        });
        assert!(ended["message"].as_str().unwrap().contains("deleted"), "{passes:?}: {ended}");
    }
}

#[test]
fn the_size_of_a_place_outlives_an_upload_that_fails_meanwhile() {
    let slow = Gated::new("200 OK", 7);
    let server = Server::with(|conf| anywhere(conf, &slow));
    let url = format!("http://{}/x", slow.address);
    let path = unformatted(&server, &url);
    slow.close();
    let location = json!({"url": url, "metadata": {}});
    let change = Request::patch(&path, &json!([{"op": "replace", "path": "/locations", "value": [location]}]));
    let mut client = server.client();
    let changed = std::thread::spawn(move || client.send(&change).status);
    slow.wait_for_visitor();
    drop(begin_upload(&server, path.rsplit('/').next().unwrap(), 10, 5));
    settled(&server, &path, "queued");
    slow.open();
    assert_eq!(changed.join().unwrap(), 200);
    let image = settled(&server, &path, "active");
    assert_eq!((&image["size"], places(&image)), (&json!(7), vec![url]));
}

#[test]
fn a_change_takes_no_data_that_never_became_the_images() {
    let web = web_server();
    let server = Server::with(|conf| with_locations(conf, web));
    let path = refused(&server, web);
    // Upstream leaves such a location in some cases.
    let foreign = server.conf.dir.join("images/foreign");
    fs::write(&foreign, "of another").unwrap();
    sql(&server.conf, &format!("update image_locations set value = 'file://{}'", foreign.display()));
    let location = json!({"url": format!("http://{web}/other"), "metadata": {}});
    let add = json!([{"op": "add", "path": "/locations/-", "value": location}]);
    server.send(&Request::patch(&path, &add)).expect(200);
    assert_eq!(places(&settled(&server, &path, "active")), [format!("http://{web}/other")]);
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "of another");
}

#[test]
fn the_place_that_a_new_one_replaces_needs_no_room_beside_it() {
    let web = web_server();
    let server = Server::with(|conf| with_locations(conf, web).set("DEFAULT.user_storage_quota", 15));
    let url = format!("http://{web}/same");
    let path = unformatted(&server, &url);
    tell(&server, &path, &json!({"url": url}));
    let image = settled(&server, &path, "active");
    assert_eq!((&image["size"], places(&image)), (&json!(10), vec![url]));
}

#[test]
fn an_image_can_be_deleted_when_the_store_of_its_place_is_no_more() {
    let web = web_server();
    for is_delayed in [false, true] {
        let mut server = Server::with(|conf| with_locations(conf, web).set("DEFAULT.delayed_delete", is_delayed));
        let path = refused(&server, web);
        server.crash();
        server.conf = server.conf.clone().set("glance_store.stores", "file");
        server.conf.write();
        server.start_again();
        server.send(&Request::new("DELETE", &path)).expect(204);
        server.send(&Request::new("GET", &path)).expect(404);
    }
}

#[test]
fn with_delayed_delete_a_replaced_place_does_not_wait_for_the_scrubber() {
    let web = web_server();
    let server = Server::with(|conf| with_locations(conf, web).set("DEFAULT.delayed_delete", true));
    let path = refused(&server, web);
    let location = json!({"url": format!("http://{web}/other"), "metadata": {}});
    let add = json!([{"op": "add", "path": "/locations/-", "value": location}]);
    server.send(&Request::patch(&path, &add)).expect(200);
    wait_for("the row of the place", Duration::from_secs(5), || {
        (sql(&server.conf, "select status from image_locations order by id") == "deleted\nactive").then_some(())
    });
}

#[test]
fn what_is_written_to_an_image_with_a_refused_location_is_removed_with_it() {
    let web = web_server();
    let mut server = Server::with(|conf| with_locations(conf, web));
    let stored = |server: &Server| {
        let found = fs::read_dir(server.conf.dir.join("images")).unwrap();
        found.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file())).count()
    };
    // The client deletes the image while it is written, and the worker dies before it sees that.
    let path = refused(&server, web);
    server.crash();
    server.start_to_crash_at("upload.stored");
    let mut upload = begin_upload(&server, path.rsplit('/').next().unwrap(), 10, 5);
    assert_eq!(server.send(&Request::new("GET", &format!("{path}/file"))).status, 204);
    server.send(&Request::new("DELETE", &path)).expect(204);
    upload.write_all(b"xxxxx").unwrap();
    server.wait_crash();
    assert_eq!(stored(&server), 1);
    server.start_again();
    wait_for("the data to go", Duration::from_secs(30), || (stored(&server) == 0).then_some(()));
    server.send(&Request::new("GET", &path)).expect(404);
}

#[test]
fn staged_data_outlives_a_crash_also_where_a_location_was_refused() {
    let web = web_server();
    let mut server = Server::with(|conf| with_locations(conf, web));
    let path = refused(&server, web);
    server.crash();
    server.start_to_crash_at("import.opened");
    let staged = Request::new("PUT", &format!("{path}/stage")).data(Body::Sized(b"staged".to_vec()));
    server.send(&staged).expect(204);
    let import = Request::new("POST", &format!("{path}/import")).json(&json!({"method": {"name": "glance-direct"}}));
    server.send(&import).expect(202);
    server.wait_crash();
    server.start_again();
    settled(&server, &path, "uploading");
    server.send(&import).expect(202);
    let image = settled(&server, &path, "active");
    assert!(matches!(&places(&image)[..], [place] if place.starts_with("file://")), "{image}");
    assert_eq!(server.send(&Request::new("GET", &format!("{path}/file"))).expect(200).text(), "staged");
}

#[test]
fn with_delayed_delete_nothing_waits_for_the_scrubber_in_the_web() {
    let web = web_server();
    let server = Server::with(|conf| with_locations(conf, web).set("DEFAULT.delayed_delete", true));
    let path = refused(&server, web);
    // Upstream's machine has no step from queued to pending_delete.
    server.send(&Request::new("DELETE", &path)).expect(204);
    server.send(&Request::new("GET", &path)).expect(404);
}

#[test]
fn what_is_said_of_a_refused_location_counts_for_no_other() {
    let (web, slow) = (web_server(), Gated::new("200 OK", 7));
    let server = Server::with(|conf| anywhere(conf, &slow));
    let path = refused(&server, slow.address);
    slow.close();
    // Its user stands up for the location, while somebody tells of another one.
    let location = json!({"url": format!("http://{}/same", slow.address), "metadata": {}});
    let change = Request::patch(&path, &json!([{"op": "replace", "path": "/locations", "value": [location]}]));
    let mut client = server.client();
    let changed = std::thread::spawn(move || client.send(&change).status);
    slow.wait_for_visitor();
    let digest = json!({"os_hash_algo": "md5", "os_hash_value": "0123456789abcdef0123456789abcdef"});
    tell(&server, &path, &json!({"url": format!("http://{web}/same"), "validation_data": digest}));
    assert_eq!(places(&settled(&server, &path, "queued")), [format!("http://{web}/same")]);
    slow.open();
    assert_eq!(changed.join().unwrap(), 409);
    let image = settled(&server, &path, "queued");
    assert_eq!((&image["size"], places(&image)), (&Value::Null, vec![format!("http://{web}/same")]));
}

#[test]
fn an_image_goes_with_the_task_that_makes_it_also_when_it_was_told_of_wrong_data() {
    let (web, nothing) = (web_server(), Gated::new("404 Not Found", 0));
    nothing.close();
    let server = Server::with(|conf| anywhere(conf, &nothing));
    let image = json!({"name": "made", "disk_format": "raw", "container_format": "bare"});
    let url = format!("http://{}/x", nothing.address);
    let input = json!({"import_from": url, "import_from_format": "", "image_properties": image});
    let made = Request::new("POST", "/v2/tasks").json(&json!({"type": "import", "input": input}));
    let task = server.send(&made).expect(201).json();
    let listed = || server.send(&Request::new("GET", "/v2/images?name=made")).expect(200).json()["images"].take();
    let path = wait_for("the task to make its image", Duration::from_secs(30), || {
        Some(format!("/v2/images/{}", listed()[0]["id"].as_str()?))
    });
    let digest = json!({"os_hash_algo": "md5", "os_hash_value": "0123456789abcdef0123456789abcdef"});
    tell(&server, &path, &json!({"url": format!("http://{web}/same"), "validation_data": digest}));
    assert_eq!(places(&settled(&server, &path, "queued")).len(), 1);
    nothing.open();
    let path = format!("/v2/tasks/{}", task["id"].as_str().unwrap());
    wait_for("the task to fail", Duration::from_secs(30), || {
        (server.send(&Request::new("GET", &path)).expect(200).json()["status"] == "failure").then_some(())
    });
    assert_eq!(listed(), json!([]));
}
