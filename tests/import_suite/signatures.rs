//! Images whose properties announce a signature of their data, which nobody here verifies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::common::{Request, Server, wait_for};
use super::super::{
    MIB, PATIENCE, Web, assert_free, assert_nothing_left, conf, create, direct, download, import, objects, shown,
    stage, wait_for_begin, wait_for_task, with_slow_mount,
};
use super::disks::{ask, ended};
use super::{known, serve_by, token, with_keystone};

const NAMES: [&str; 4] =
    ["img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"];

/// The image of another region.
const REMOTE: &str = "0d0d0d0d-0000-4000-8000-000000000001";

fn signed(server: &Server) -> String {
    let id = create(server);
    sign(server, &id);
    id
}

fn sign(server: &Server, id: &str) {
    let change: Vec<Value> =
        NAMES.iter().map(|name| json!({"op": "add", "path": format!("/{name}"), "value": "x"})).collect();
    patch(server, id, &json!(change));
}

fn patch(server: &Server, id: &str, change: &Value) {
    server.send(&Request::patch(&format!("/v2/images/{id}"), change)).expect(200);
}

fn signatures(image: &Value) -> usize {
    NAMES.iter().filter(|name| image.get(**name).is_some()).count()
}

/// The image waits for data, and has nothing of what came.
#[track_caller]
fn assert_refused(server: &Server, id: &str) {
    let task = wait_for_task(server, id, "failure");
    let text = format!("Signature verification failed for image {id}");
    assert!(task["message"].as_str().unwrap().contains(&text), "{task}");
    let image = shown(server, id);
    assert_free(&image, "queued");
    let without = [&image["size"], &image["checksum"], &image["os_hash_value"]];
    assert_eq!((without, image.get("stores")), ([&Value::Null; 3], None), "{image}");
    assert_nothing_left(&server.conf);
}

/// As an upload would be, an import is refused, and what was staged goes as all data that was judged. The client may remove a property and
/// begin anew.
#[test]
fn data_whose_signature_nobody_verifies_is_not_imported() {
    let web = Web::start();
    for plugins in ["[]", "[image_decompression]"] {
        let server = Server::with(|of| conf(&web)(of).set("image_import_opts.image_import_plugins", plugins));
        let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast", "slow"]});
        let id = signed(&server);
        stage(&server, &id, &vec![b's'; MIB]);
        import(&server, &id, &direct);
        assert_refused(&server, &id);
        let image = shown(&server, &id);
        assert_eq!(image["os_glance_failed_import"], "fast,slow", "{image}");

        // The condition is upstream's: all four.
        patch(&server, &id, &json!([{"op": "remove", "path": "/img_signature_key_type"}]));
        stage(&server, &id, &vec![b's'; MIB]);
        import(&server, &id, &direct);
        wait_for_task(&server, &id, "success");
        assert_free(&shown(&server, &id), "active");
        assert_eq!([objects(&server.conf, "fast"), objects(&server.conf, "slow")], [[id.clone()], [id]]);
    }
}

#[test]
fn a_signature_that_arrives_while_an_import_runs_or_waits_counts() {
    let web = Web::start();
    let server = Server::with(conf(&web));
    let [running, waiting, other, without] = [(); 4].map(|()| create(&server));
    import(&server, &running, &download(&web));
    wait_for_begin(&web, &server, &running);
    stage(&server, &waiting, &vec![b's'; MIB]);
    import(&server, &waiting, &direct());
    import(&server, &other, &download(&web));
    import(&server, &without, &download(&web));
    sign(&server, &running);
    sign(&server, &waiting);
    // What the image is when its import begins, is what its data is judged as.
    patch(&server, &other, &json!([{"op": "replace", "path": "/container_format", "value": "ovf"}]));
    patch(&server, &without, &json!([{"op": "replace", "path": "/disk_format", "value": null}]));
    web.go_on.send(true).unwrap();
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &other, "success");
    let image = shown(&server, &other);
    assert_free(&image, "active");
    assert_eq!((&image["disk_format"], &image["container_format"]), (&json!("raw"), &json!("ovf")));
    let task = wait_for_task(&server, &without, "failure");
    assert_eq!(task["message"], "Property disk_format must be set prior to saving data.");
    assert_free(&shown(&server, &without), "queued");
    server.send(&Request::new("DELETE", &format!("/v2/images/{other}"))).expect(204);
    for id in [&running, &waiting] {
        assert_refused(&server, id);
        assert_eq!(signatures(&shown(&server, id)), 4);
    }
}

#[test]
fn a_signature_that_arrives_while_a_task_makes_its_image_counts() {
    let web = Web::start();
    let server = Server::with(conf(&web));
    let image = json!({"disk_format": "raw", "container_format": "bare", "name": "made"});
    let asked = ask(&server, &web.url(), &image);
    let id = wait_for("the image is there", PATIENCE, || {
        let list = server.send(&Request::new("GET", "/v2/images?name=made")).expect(200).json();
        list["images"][0]["id"].as_str().map(str::to_owned)
    });
    web.asked.recv_timeout(PATIENCE).unwrap();
    sign(&server, &id);
    web.go_on.send(true).unwrap();
    let task = ended(&server, asked);
    assert_eq!(task["status"], "failure", "{task}");
    assert!(task["message"].as_str().unwrap().contains("Signature verification failed for image"), "{task}");
    assert_nothing_left(&server.conf);
}

#[test]
fn a_signature_that_comes_with_the_data_of_another_region_counts() {
    let data = vec![b'r'; MIB];
    let service = serve_by(|port| {
        let remote = json!({"id": REMOTE, "status": "active", "disk_format": "raw", "container_format": "bare",
            "size": data.len(), "img_signature": "x", "img_signature_hash_method": "SHA-256",
            "img_signature_key_type": "RSA-PSS", "img_signature_certificate_uuid": REMOTE});
        let files = BTreeMap::from([
            (format!("/v2/images/{REMOTE}"), remote.to_string().into_bytes()),
            (format!("/v2/images/{REMOTE}/file"), data),
            ("/v3/auth/tokens".to_owned(), token(port)),
        ]);
        move |_: &str, path: &str| files.get(path).cloned()
    });
    let server = Server::with(|conf| {
        with_keystone(conf.two_stores().own_state(), service)
            .set("DEFAULT.enabled_import_methods", "[glance-download]")
            .set("glance_download_properties.extra_properties", "[img_]")
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", "[]")
    });
    let read = |path: &str| server.send(&known("GET", path)).expect(200).json();
    let post = |path: &str, document: Value| server.send(&known("POST", path).json(&document));
    let image = json!({"name": "near", "disk_format": "raw", "container_format": "bare"});
    let made = post("/v2/images", image).expect(201).json();
    let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
    let method = json!({"name": "glance-download", "glance_region": "Elsewhere", "glance_image_id": REMOTE});
    post(&format!("{path}/import"), json!({"method": method})).expect(202);
    let task = wait_for("the task's end", PATIENCE, || {
        let tasks = read(&format!("{path}/tasks"));
        Some(tasks["tasks"][0].clone()).filter(|task| ["success", "failure"].map(Into::into).contains(&task["status"]))
    });
    assert!(task["message"].as_str().unwrap().contains("Signature verification failed for image"), "{task}");
    let image = read(&path);
    assert_free(&image, "queued");
    assert_eq!(signatures(&image), 0, "what comes with the data, goes with it");
    assert_nothing_left(&server.conf);
}

#[test]
fn a_signature_that_the_operator_injects_counts() {
    let web = Web::start();
    let injected = NAMES.map(|name| format!("{name}:x")).join(",");
    let server = Server::with(|of| {
        conf(&web)(of)
            .set("image_import_opts.image_import_plugins", "[inject_image_metadata]")
            .set("inject_metadata_properties.inject", injected)
            .set("inject_metadata_properties.ignore_user_roles", "nobody")
    });
    let id = create(&server);
    stage(&server, &id, &vec![b's'; MIB]);
    import(&server, &id, &direct());
    assert_refused(&server, &id);
    assert_eq!(signatures(&shown(&server, &id)), 4);
}

/// As at upstream, which looks at the properties once a copy begins.
#[test]
fn a_signature_that_arrives_while_an_active_image_is_copied_does_not_count() {
    let web = Web::start();
    let (server, mount) = with_slow_mount(conf(&web));
    let id = create(&server);
    stage(&server, &id, &vec![b's'; MIB]);
    import(&server, &id, &json!({"method": {"name": "glance-direct"}, "stores": ["fast"]}));
    wait_for_task(&server, &id, "success");
    mount.stall();
    import(&server, &id, &json!({"method": {"name": "copy-image"}, "stores": ["slow"]}));
    // It has looked at the image then.
    let is_prepared = |line: &str| line.contains("image.prepare") && line.contains(&id);
    wait_for("the copy runs", PATIENCE, || {
        (server.log().lines().filter(|line| is_prepared(line)).count() == 2).then_some(())
    });
    sign(&server, &id);
    mount.go_on();
    wait_for_task(&server, &id, "success");
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!(image["stores"], "fast,slow", "{image}");
}
