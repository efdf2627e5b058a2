//! What becomes of an image that was told of data that did not become its own.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::common::uploads::begin_upload;
use super::common::{Body, Conf, Request, Server, wait_for};
use super::sql;
use super::web::{Gated, places, refused, settled, tell, waiting, web_server, with_locations};

fn anywhere(conf: Conf, gated: &Gated) -> Conf {
    with_locations(conf, gated.address).set("import_filtering_opts.allowed_ports", "[]")
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
    let server = Server::with(|conf| anywhere(conf, &slow));
    let path = waiting(&server);
    tell(&server, &path, &json!({"url": format!("http://{}/x", slow.address)}));
    slow.wait_for_visitor();
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
