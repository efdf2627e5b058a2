//! What became of stored data behind the service's back, on upstream's service and on ours: files of another length, data
//! that cannot be removed, locations that name no store or one that is gone, web servers that change their mind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::peers::{Keystone, Upstream};
use common::{Answer, Body, Client, Conf, Request, Server, free_port, pause, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// One of the two services.
struct Side {
    name: &'static str,
    conf: Conf,
    client: Client,
    token: String,
    // Ends the service when dropped.
    _service: Box<dyn std::any::Any>,
}

/// Both services, fresh, one after the other through the same steps.
fn on_both_sides(change: impl Fn(Conf) -> Conf, mut steps: impl FnMut(&mut Side)) {
    let folder = tempfile::Builder::new().prefix("glance-stores-").tempdir().unwrap();
    let keystone = Keystone::shared();
    let token = keystone.token("demo@demo");
    let conf = |name: &str| change(Conf::new(&folder.path().join(name), free_port()).keystone(keystone));
    let theirs = Upstream::start(conf("upstream"));
    let (conf_of_theirs, client) = (theirs.conf.clone(), theirs.client());
    let service = Box::new(theirs);
    steps(&mut Side { name: "upstream", conf: conf_of_theirs, client, token: token.clone(), _service: service });
    let ours = Server::start(conf("ours"));
    steps(&mut Side { name: "ours", conf: ours.conf.clone(), client: ours.client(), token, _service: Box::new(ours) });
}

impl Side {
    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("X-Auth-Token", &self.token)
    }

    #[track_caller]
    fn send(&mut self, method: &str, path: &str) -> Answer {
        let request = self.request(method, path);
        self.client.send(&request)
    }

    /// An image of ten digits; returns its path in the API.
    #[track_caller]
    fn image(&mut self, store: Option<&str>) -> String {
        let image = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
        let create = self.request("POST", "/v2/images").json(&image);
        let made = self.client.send(&create).expect(201).json();
        let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
        let mut upload = self.request("PUT", &format!("{path}/file")).data(Body::Sized(b"0123456789".to_vec()));
        if let Some(store) = store {
            upload = upload.header("x-image-meta-store", store);
        }
        self.client.send(&upload).expect(204);
        path
    }

    fn patch_request(&self, path: &str, change: &Value) -> Request {
        let mut patch =
            self.request("PATCH", path).header("Content-Type", "application/openstack-images-v2.1-json-patch");
        patch.body = Body::Sized(change.to_string().into_bytes());
        patch
    }

    #[track_caller]
    fn patch(&mut self, path: &str, change: &Value) -> Answer {
        let request = self.patch_request(path, change);
        self.client.send(&request)
    }

    fn sql(&self, sql: &str) -> String {
        let out = Command::new("sqlite3").arg(self.conf.database()).args(["-cmd", ".timeout 5000"]).arg(sql).output();
        let out = out.expect("sqlite3: apt-get install sqlite3");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// The file of an image.
    fn file(&self, image: &str) -> PathBuf {
        let id = image.rsplit('/').next().unwrap();
        let url = self.sql(&format!("select value from image_locations where image_id = '{id}' and deleted = 0"));
        PathBuf::from(url.strip_prefix("file://").unwrap())
    }
}

/// The answer without what differs from run to run.
fn plain(answer: &Answer, folder: &Path, image: &str) -> (u16, String) {
    let text = answer.text().replace(&folder.display().to_string(), "<dir>");
    (answer.status, text.replace(image.rsplit('/').next().unwrap(), "<id>"))
}

#[test]
fn a_longer_file_ends_with_its_image_and_a_shorter_one_never_seems_whole() {
    on_both_sides(
        |conf| conf,
        |side| {
            let path = side.image(None);
            let file = side.file(&path);
            let get = side.request("GET", &format!("{path}/file"));
            for content in ["0123456789abc", "0123456789"] {
                fs::write(&file, content).unwrap();
                let answer = side.client.send(&get).expect(200);
                assert_eq!((answer.text().as_str(), answer.header("content-length")), ("0123456789", Some("10")));
            }
            for content in ["01234", ""] {
                fs::write(&file, content).unwrap();
                let answer = side.client.try_send(&get);
                assert!(answer.is_err(), "{} gives {answer:?} of {content:?}", side.name);
            }
            let range = get.clone().header("Range", "bytes=3-5");
            fs::write(&file, "0123").unwrap();
            assert!(side.client.try_send(&range).is_err(), "{}", side.name);
        },
    );
}

#[test]
fn an_image_without_a_size_is_as_long_as_its_file() {
    let server = Server::simple();
    let (conf, client) = (server.conf.clone(), server.client());
    let mut side = Side { name: "ours", conf, client, token: String::new(), _service: Box::new(server) };
    let path = side.image(None);
    side.sql("update images set size = null");
    let answer = side.send("GET", &format!("{path}/file")).expect(200);
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("0123456789", Some("10")));
}

#[test]
fn an_image_whose_data_cannot_be_removed_stays() {
    let (mut answers, mut odd) = (Vec::new(), Vec::new());
    on_both_sides(
        |conf| conf,
        |side| {
            odd.push(read_and_delete_at_odd_locations(side));
            let path = side.image(None);
            let file = side.file(&path);
            let share = side.request("POST", &format!("{path}/members")).json(&json!({"member": "guest"}));
            side.client.send(&share).expect(200);
            side.send("PUT", &format!("{path}/tags/kept")).expect(204);
            let before = side.send("GET", &path).expect(200).json();
            // A folder cannot be unlinked, not even by root.
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            let refused = side.send("DELETE", &path);
            answers.push(plain(&refused, &side.conf.dir, &path));
            assert_eq!(side.send("GET", &path).expect(200).json(), before);
            let members = side.send("GET", &format!("{path}/members")).expect(200).json();
            assert_eq!(members["members"][0]["member_id"], "guest");

            fs::remove_dir(&file).unwrap();
            fs::write(&file, "0123456789").unwrap();
            assert_eq!(side.send("GET", &format!("{path}/file")).expect(200).text(), "0123456789");
            side.send("DELETE", &path).expect(204);
            side.send("GET", &path).expect(404);
            assert!(!file.try_exists().unwrap());
        },
    );
    let [theirs, ours] = answers.try_into().unwrap();
    assert_eq!(theirs, ours);
    assert_eq!(theirs.0, 403);
    // Upstream cannot delete most of these.
    let [theirs, ours] = odd.try_into().unwrap();
    let read = |answers: &[(&'static str, u16, u16)]| -> Vec<_> {
        answers.iter().map(|(url, read, _)| (*url, *read)).collect()
    };
    assert_eq!(read(&theirs), read(&ours));
    assert!(ours.iter().all(|(_, _, deleted)| *deleted == 204), "{ours:?}");
}

/// What is answered where no data can be, as a hand or another encryption key leaves it.
fn read_and_delete_at_odd_locations(side: &mut Side) -> Vec<(&'static str, u16, u16)> {
    let urls = ["nowhere", "odd://x", "", "file:nowhere", "file:///no/such/file"];
    let mut odd = |url: &'static str| {
        let path = side.image(None);
        side.sql(&format!("update image_locations set value = '{url}' where deleted = 0"));
        let get = side.request("GET", &format!("{path}/file"));
        // Upstream's server closes the connection where its code fails in the middle of an answer.
        let read = side.client.try_send(&get).map_or(500, |answer| answer.status);
        (url, read, side.send("DELETE", &path).status)
    };
    urls.map(&mut odd).to_vec()
}

#[test]
fn locations_are_found_by_their_url_when_their_store_is_not_known() {
    for metadata in ["{}", r#"{"store": ""}"#, r#"{"store": "former", "mine": 1}"#] {
        let mut shown = Vec::new();
        on_both_sides(
            |conf| conf.two_stores().set("DEFAULT.show_multiple_locations", true),
            |side| {
                let path = side.image(Some("slow"));
                let file = side.file(&path);
                side.sql(&format!("update image_locations set meta_data = '{metadata}'"));
                assert_eq!(side.send("GET", &format!("{path}/file")).expect(200).text(), "0123456789");
                let image: Value = side.send("GET", &path).expect(200).json();
                shown.push((image["stores"].clone(), image["locations"][0]["metadata"].clone()));
                side.send("DELETE", &path).expect(204);
                assert!(!file.try_exists().unwrap(), "{} leaves the file", side.name);
            },
        );
        assert_eq!(shown[0], shown[1], "{metadata}");
        assert_eq!(shown[0].0, "slow");
    }
}

/// A web server that says one thing to HEAD and may do another for GET.
fn web_server() -> SocketAddr {
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
                let mut patch =
                    side.request("PATCH", &path).header("Content-Type", "application/openstack-images-v2.1-json-patch");
                let change = json!([{"op": "add", "path": "/locations/-", "value": location}]);
                patch.body = Body::Sized(change.to_string().into_bytes());
                let added = side.client.send(&patch);
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
    let mut patch = Request::new("PATCH", &path).header("Content-Type", "application/openstack-images-v2.1-json-patch");
    let change = json!([{"op": "add", "path": "/locations/-", "value": location}]);
    patch.body = Body::Sized(change.to_string().into_bytes());
    server.send(&patch).expect(200);
    let read = Request::new("GET", &format!("{path}/file"));
    assert_eq!(server.send(&read).expect(200).text(), "0123456789");
    server.conf.clone().set("import_filtering_opts.allowed_ports", "[80,443]").write();
    server.signal(Signal::SIGHUP);
    wait_for("the location to be forbidden", Duration::from_secs(10), || {
        (server.send(&read).status != 200).then_some(())
    });
    // As for whatever else is wrong with a location, upstream as well.
    assert_eq!(server.send(&read).status, 500);
    assert!(server.log().contains("an image is where nothing may be fetched"));
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

fn with_locations(conf: Conf, web: SocketAddr) -> Conf {
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

/// With a copy in each of two file stores; the path of the image and those of the copies.
fn with_two_copies(side: &mut Side) -> (String, [PathBuf; 2]) {
    // By the default rules, only administrators remove locations.
    side.token = Keystone::shared().token("admin@admin");
    let path = side.image(Some("slow"));
    let slow = side.file(&path);
    let fast = PathBuf::from(slow.to_str().unwrap().replace("slow", "fast"));
    fs::copy(&slow, &fast).unwrap();
    side.sql(&format!(
        "insert into image_locations (image_id, value, meta_data, status, created_at, updated_at, deleted) \
         select image_id, 'file://{}', '{{\"store\": \"fast\"}}', status, created_at, updated_at, 0 \
         from image_locations where value = 'file://{}'",
        fast.display(),
        slow.display()
    ));
    (path, [fast, slow])
}

#[test]
fn a_copy_is_removed_from_one_store_and_the_other_serves() {
    let mut answers: Vec<Vec<(u16, String)>> = Vec::new();
    on_both_sides(Conf::two_stores, |side| {
        let (path, [fast, slow]) = with_two_copies(side);
        let copy = |store: &str| format!("/v2/stores/{store}/{}", path.rsplit('/').next().unwrap());
        // A folder cannot be unlinked: the copy stays.
        fs::remove_file(&fast).unwrap();
        fs::create_dir(&fast).unwrap();
        let refused = side.send("DELETE", &copy("fast"));
        assert_eq!(side.send("GET", &path).expect(200).json()["stores"], "fast,slow", "{}", side.name);
        fs::remove_dir(&fast).unwrap();
        fs::write(&fast, "0123456789").unwrap();

        side.send("DELETE", &copy("slow")).expect(204);
        assert_eq!((slow.try_exists().unwrap(), fast.try_exists().unwrap()), (false, true), "{}", side.name);
        assert_eq!(side.send("GET", &format!("{path}/file")).expect(200).text(), "0123456789");
        let shown = side.send("GET", &path).expect(200).json();
        assert_eq!((&shown["stores"], &shown["status"]), (&json!("fast"), &json!("active")), "{}", side.name);
        let last = side.send("DELETE", &copy("fast"));
        assert!(fast.try_exists().unwrap(), "{}", side.name);
        answers.push([refused, last].iter().map(|answer| plain(answer, &side.conf.dir, &path)).collect());

        // What is gone already needs no removing.
        let (path, [fast, _]) = with_two_copies(side);
        fs::remove_file(&fast).unwrap();
        side.send("DELETE", &format!("/v2/stores/fast/{}", path.rsplit('/').next().unwrap())).expect(204);
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[1][0].0, answers[1][1].0), (500, 403));
}

/// An image that waits for data; its path in the API.
fn waiting(server: &Server) -> String {
    let image = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
    let made = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
    format!("/v2/images/{}", made["id"].as_str().unwrap())
}

/// Waits until an image is in this status and no task has it.
fn settled(server: &Server, path: &str, status: &str) -> Value {
    wait_for(&format!("{path} to be {status}"), Duration::from_secs(30), || {
        let image = server.send(&Request::new("GET", path)).expect(200).json();
        (image["status"] == status && image["os_glance_import_task"].is_null()).then_some(image)
    })
}

#[test]
fn a_worker_that_dies_while_it_hashes_a_location_leaves_no_image_stuck() {
    let web = web_server();
    let mut server = Server::with(|conf| with_locations(conf, web));
    let tell = |server: &Server, path: &str, told: &Value| {
        server.send(&Request::new("POST", &format!("{path}/locations")).json(told)).expect(202);
    };
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
    server.crash();
    server.start_again();
    let image = settled(&server, &path, "queued");
    assert_eq!((&image["locations"], &image["os_hash_algo"]), (&json!([]), &Value::Null));
    let tasks = server.send(&Request::new("GET", &format!("{path}/tasks"))).expect(200).json();
    let task = &tasks["tasks"][0];
    assert_eq!((&task["status"], &task["type"]), (&json!("failure"), &json!("location_import")));
    tell(&server, &path, &json!({"url": format!("http://{web}/same"), "validation_data": digest}));
    assert_eq!(settled(&server, &path, "active")["checksum"], "781e5e245d69b566979b86e28d23f2c7");

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
