//! Web servers that change their mind, locations that come and go, and those that other services tell.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::common::peers::Keystone;
use super::common::{Conf, Request, Server, http, pause, wait_for};
use super::{Side, on_both_sides, plain};

/// A web server that says one thing to HEAD and may do another for GET.
pub(super) fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    address
}

fn answer(mut connection: TcpStream) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut first = String::new();
    let mut line = String::new();
    if reader.read_line(&mut first).is_err() {
        return;
    }
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        line.clear();
    }
    let (method, path) = first.split_once(' ').unwrap_or_default();
    let body = match (method, path.split(' ').next().unwrap_or_default()) {
        ("GET", "/longer") => "0123456789abc",
        ("GET", "/shorter") => "01234",
        (_, "/relative") => {
            let _ = connection.write_all(b"HTTP/1.1 302 Found\r\nLocation: /same\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        _ => "0123456789",
    };
    if path.contains("patient") {
        // Somebody does something else meanwhile.
        pause(Duration::from_secs(2));
    }
    let shown = if method == "HEAD" { "" } else { body };
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{shown}", body.len());
    // Who wants no more of it may go.
    let _ = connection.write_all(head.as_bytes());
}

#[test]
fn images_on_web_servers_are_what_they_were_when_registered() {
    let web = web_server();
    let mut answers: Vec<Vec<(&str, (u16, String))>> = Vec::new();
    on_both_sides(
        |conf| {
            conf.set("DEFAULT.show_multiple_locations", true)
                .set("glance_store.stores", "file,http")
                .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
                .set("import_filtering_opts.allowed_ports", format!("[{}]", web.port()))
        },
        |side| {
            let mut given = Vec::new();
            for name in ["same", "longer", "shorter", "relative"] {
                let image = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
                let create = side.request("POST", "/v2/images").json(&image);
                let made = side.client.send(&create).expect(201).json();
                let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
                let location = json!({"url": format!("http://{web}/{name}"), "metadata": {}});
                let added = side.patch(&path, &json!([{"op": "add", "path": "/locations/-", "value": location}]));
                if added.status != 200 {
                    given.push((name, (added.status, String::new())));
                    continue;
                }
                let get = side.request("GET", &format!("{path}/file"));
                let whole = side.client.try_send(&get);
                given.push((name, whole.map_or((0, String::new()), |whole| plain(&whole, &side.conf.dir, &path))));
                let part = side.client.send(&get.header("Range", "bytes=0-1"));
                given.push(("a part", plain(&part, &side.conf.dir, &path)));
            }
            answers.push(given);
        },
    );
    assert_eq!(answers[0], answers[1]);
    let [same, _, longer, _, shorter, _, relative] = answers.remove(1).try_into().unwrap();
    for (name, (status, text)) in [same, longer] {
        assert_eq!((status, text.as_str()), (200, "0123456789"), "{name}");
    }
    assert_eq!((shorter.1.0, relative.1.0), (0, 400));
}

#[test]
fn a_location_that_became_forbidden_is_not_read() {
    let web = web_server();
    let server = Server::with(|conf| {
        conf.set("DEFAULT.show_multiple_locations", true)
            .set("glance_store.stores", "file,http")
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{}]", web.port()))
    });
    let image = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
    let made = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
    let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
    let location = json!({"url": format!("http://{web}/same"), "metadata": {}});
    let change = json!([{"op": "add", "path": "/locations/-", "value": location}]);
    server.send(&Request::patch(&path, &change)).expect(200);
    let read = Request::new("GET", &format!("{path}/file"));
    assert_eq!(server.send(&read).expect(200).text(), "0123456789");
    server.conf.clone().set("import_filtering_opts.allowed_ports", "[80,443]").write();
    server.signal(Signal::SIGHUP);
    wait_for("the location to be forbidden", Duration::from_secs(10), || {
        (server.send(&read).status != 200).then_some(())
    });
    // As for whatever else is wrong with a location, upstream as well.
    assert_eq!(server.send(&read).status, 500);
    server.log_with("an image is where nothing may be fetched");
    server.send(&Request::new("GET", &path)).expect(200);
    server.send(&Request::new("DELETE", &path)).expect(204);
}

/// With two locations: a file, and one on a web server.
fn with_a_second_location(side: &mut Side, web: SocketAddr) -> (String, PathBuf) {
    // By the default rules, only administrators remove locations.
    side.token = Keystone::shared().token("admin@admin");
    let path = side.image(None);
    let file = side.file(&path);
    let location = json!({"url": format!("http://{web}/same"), "metadata": {}});
    side.patch(&path, &json!([{"op": "add", "path": "/locations/-", "value": location}])).expect(200);
    (path, file)
}

pub(super) fn with_locations(conf: Conf, web: SocketAddr) -> Conf {
    conf.set("DEFAULT.show_multiple_locations", true)
        .set("glance_store.stores", "file,http")
        .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
        .set("import_filtering_opts.allowed_ports", format!("[{}]", web.port()))
}

#[test]
fn a_removed_location_takes_its_data_with_it() {
    let web = web_server();
    let remove = json!([{"op": "remove", "path": "/locations/0"}]);
    on_both_sides(
        |conf| with_locations(conf, web),
        |side| {
            let (path, file) = with_a_second_location(side, web);
            // A change that fails as a whole removes nothing; upstream has removed the data by then.
            if side.name == "ours" {
                let wrong = json!([remove[0], {"op": "replace", "path": "/min_disk", "value": -1}]);
                side.patch(&path, &wrong).expect(400);
                assert!(file.try_exists().unwrap());
            }
            side.patch(&path, &remove).expect(200);
            assert!(!file.try_exists().unwrap(), "{}", side.name);
            assert_eq!(side.sql("select status from image_locations order by id"), "deleted\nactive");

            // A folder cannot be unlinked: the location stays.
            let (path, file) = with_a_second_location(side, web);
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            side.patch(&path, &remove).expect(500);
            let shown = side.send("GET", &path).expect(200).json();
            assert_eq!(shown["locations"].as_array().unwrap().len(), 2, "{}", side.name);
            fs::remove_dir(&file).unwrap();

            // Data that is gone already needs no removing.
            side.patch(&path, &remove).expect(200);
            let shown = side.send("GET", &path).expect(200).json();
            assert_eq!(shown["locations"][0]["url"], format!("http://{web}/same"), "{}", side.name);
        },
    );
    on_both_sides(
        |conf| with_locations(conf, web).set("DEFAULT.delayed_delete", true),
        |side| {
            let (path, file) = with_a_second_location(side, web);
            side.patch(&path, &remove).expect(200);
            assert!(file.try_exists().unwrap(), "{}", side.name);
            let rows = side.sql("select status, deleted from image_locations order by id");
            assert_eq!(rows, "pending_delete|1\nactive|0", "{}", side.name);
        },
    );
}

#[test]
fn of_two_changes_of_locations_at_a_time_none_is_lost() {
    let web = web_server();
    let server = Server::with(|conf| with_locations(conf, web));
    let (conf, client, mut other) = (server.conf.clone(), server.client(), server.client());
    let mut side = Side { name: "ours", conf, client, token: String::new(), _service: Box::new(server) };
    let path = side.image(None);
    let add = |name: &str| {
        let location = json!({"url": format!("http://{web}/{name}"), "metadata": {}});
        json!([{"op": "add", "path": "/locations/-", "value": location}])
    };
    let slow = side.patch_request(&path, &add("patient"));
    let slow = std::thread::spawn(move || other.send(&slow).status);
    pause(Duration::from_millis(500));
    side.patch(&path, &add("same")).expect(200);
    assert_eq!(slow.join().unwrap(), 409);
    let shown = side.send("GET", &path).expect(200).json();
    assert_eq!(shown["locations"].as_array().unwrap().len(), 2);
    side.patch(&path, &add("patient")).expect(200);
    assert_eq!(side.sql("select count(*) from image_locations where deleted = 0"), "3");
}

/// An image that waits for data; its path in the API.
pub(super) fn waiting(server: &Server) -> String {
    let image = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
    let made = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
    format!("/v2/images/{}", made["id"].as_str().unwrap())
}

/// Waits until an image is in this status and no task has it.
pub(super) fn settled(server: &Server, path: &str, status: &str) -> Value {
    wait_for(&format!("{path} to be {status}"), Duration::from_secs(30), || {
        let image = server.send(&Request::new("GET", path)).expect(200).json();
        (image["status"] == status && image["os_glance_import_task"].is_null()).then_some(image)
    })
}

pub(super) fn tell(server: &Server, path: &str, told: &Value) {
    server.send(&Request::new("POST", &format!("{path}/locations")).json(told)).expect(202);
}

pub(super) fn places(image: &Value) -> Vec<String> {
    let places = image["locations"].as_array().unwrap().iter();
    places.map(|location| location["url"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_worker_that_dies_while_it_hashes_a_location_leaves_no_image_stuck() {
    let web = web_server();
    let mut server = Server::with(|conf| with_locations(conf, web));
    let digest = json!({"os_hash_algo": "md5", "os_hash_value": "781e5e245d69b566979b86e28d23f2c7"});
    let busy = |server: &Server, path: &str, status: &str| {
        wait_for("the worker to hash", Duration::from_secs(30), || {
            let image = server.send(&Request::new("GET", path)).expect(200).json();
            (image["status"] == status && image["os_glance_import_task"].is_string()).then_some(())
        });
    };
    let path = waiting(&server);
    tell(&server, &path, &json!({"url": format!("http://{web}/patient"), "validation_data": digest}));
    busy(&server, &path, "importing");
    let read = Request::new("GET", &format!("{path}/file"));
    assert_eq!(server.send(&read).status, 204, "nobody knows yet what it is");
    server.crash();
    server.start_again();
    let image = settled(&server, &path, "queued");
    assert_eq!(places(&image), [format!("http://{web}/patient")]);
    assert_eq!((&image["size"], &image["os_hash_algo"]), (&Value::Null, &Value::Null));
    assert_eq!(server.send(&read).status, 204);
    let tasks = server.send(&Request::new("GET", &format!("{path}/tasks"))).expect(200).json();
    let task = &tasks["tasks"][0];
    assert_eq!((&task["status"], &task["type"]), (&json!("failure"), &json!("location_import")));
    tell(&server, &path, &json!({"url": format!("http://{web}/same"), "validation_data": digest}));
    let image = settled(&server, &path, "active");
    assert_eq!(image["checksum"], "781e5e245d69b566979b86e28d23f2c7");
    assert_eq!(places(&image), [format!("http://{web}/same")]);

    // One that has its data already keeps it, and is known to nobody.
    let path = waiting(&server);
    tell(&server, &path, &json!({"url": format!("http://{web}/patient")}));
    busy(&server, &path, "active");
    server.crash();
    server.start_again();
    let image = settled(&server, &path, "active");
    assert_eq!(image["locations"].as_array().unwrap().len(), 1);
    assert_eq!(server.send(&Request::new("GET", &format!("{path}/file"))).expect(200).text(), "0123456789");
}

/// A server at an address where nothing may be fetched; tells how many have come.
fn internal() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, visits) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&visits);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || answer(connection));
        }
    });
    (port, visits)
}

#[test]
fn a_told_location_leads_to_no_forbidden_address_by_odd_spelling_or_redirect() {
    let (port, visits) = internal();
    let server = Server::with(|conf| {
        conf.set("glance_store.stores", "file,http")
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.2]")
            .set("import_filtering_opts.allowed_ports", "[]")
    });
    let spellings = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "user@127.0.0.1",
        "127.0.0.2@127.0.0.1",
        "%31%32%37.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
    ];
    let tell = |url: &str| {
        let path = waiting(&server);
        let told = server.send(&Request::new("POST", &format!("{path}/locations")).json(&json!({"url": url})));
        (path, told)
    };
    for host in spellings {
        let (path, told) = tell(&format!("http://{host}:{port}/same"));
        assert_eq!(told.status, 400, "{host}: {}", told.text());
        assert_eq!(settled(&server, &path, "queued")["size"], Value::Null, "{host}");
    }
    for url in [format!("http://127.0.0.1:{port}/same"), format!("http://2130706433:{port}/same")] {
        let (hop, _) = http::redirecting(url);
        let (path, told) = tell(&format!("http://{hop}/same"));
        assert_eq!(told.status, 202, "the first address may be asked: {}", told.text());
        wait_for("the task to end", Duration::from_secs(30), || {
            let tasks = server.send(&Request::new("GET", &format!("{path}/tasks"))).expect(200).json();
            (tasks["tasks"][0]["status"] == "failure").then_some(())
        });
        let image = settled(&server, &path, "queued");
        assert_eq!((&image["size"], &image["checksum"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0, "somebody came to the forbidden address");
}
