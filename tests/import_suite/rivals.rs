//! Imports that others disturb: another host that begins the same one, who is still staging the data, and a store that is full.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::super::common::disk::SmallDisk;
use super::super::common::{Answer, Body, Conf, Request, Server, http, wait_for};
use super::super::{
    MIB, PATIENCE, Web, assert_free, assert_nothing_left, create, import, objects, shown, stage, task, wait_for_begin,
    wait_for_task,
};
use super::hosts::elsewhere;
use super::serve;

fn conf(conf: Conf) -> Conf {
    conf.two_stores()
        .own_state()
        .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
        .set("import_filtering_opts.allowed_ports", "[]")
}

/// A document that asks for data from a web server of ours.
fn download(stores: &[&str], needs_all: bool) -> Value {
    let port = serve(BTreeMap::from([("/data".to_owned(), vec![b'd'; MIB])]));
    let method = json!({"name": "web-download", "uri": format!("http://127.0.0.1:{port}/data")});
    json!({"method": method, "stores": stores, "all_stores_must_succeed": needs_all})
}

/// A race of imports for the lock `os_glance_import_task`, between two hosts: exactly one wins.
#[test]
fn of_two_hosts_that_begin_one_import_one_does_it() {
    let near = Server::with(conf);
    let far = Server::start(elsewhere(&near.conf, "far"));
    let document = download(&["fast", "slow"], true);
    for _ in 0..5 {
        let id = create(&near);
        let request = Request::new("POST", &format!("/v2/images/{id}/import")).json(&document);
        let mut answers = thread::scope(|scope| {
            let rivals = [&near, &far].map(|host| scope.spawn(|| host.send(&request).status));
            rivals.map(|rival| rival.join().unwrap())
        });
        answers.sort_unstable();
        assert_eq!(answers, [202, 409]);
        wait_for_task(&near, &id, "success");
        let tasks = near.send(&Request::new("GET", &format!("/v2/images/{id}/tasks"))).expect(200).json();
        assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1, "{tasks}");
        let image = shown(&far, &id);
        assert_free(&image, "active");
        assert_eq!((&image["stores"], &image["size"]), (&json!("fast,slow"), &json!(MIB)));
        far.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
    assert_nothing_left(&near.conf);
}

#[test]
fn an_import_that_waits_ends_when_its_image_gets_other_data_or_goes() {
    let (web, port) = (Web::start(), serve(BTreeMap::from([("/data".to_owned(), vec![b'd'; MIB])])));
    let mut server = Server::with(|given| {
        conf(given)
            .set("DEFAULT.enabled_backends", "fast:file,slow:file,web:http")
            .set("DEFAULT.show_multiple_locations", "true")
            .set("wsgi.task_pool_threads", 1)
    });
    let held_up = |server: &Server| {
        let [first, next] = [(); 2].map(|()| create(server));
        import(server, &first, &super::super::download(&web));
        wait_for_begin(&web, server, &first);
        import(server, &next, &download(&["fast"], true));
        next
    };
    let assert_ended = |server: &Server, id: &str| {
        let ended = wait_for_task(server, id, "failure");
        assert_eq!(ended["message"], "Somebody else gave the image data before this task began.");
        let image = shown(server, id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!("active"), None), "{image}");
    };

    // Its turn comes.
    let located = held_up(&server);
    let place = json!({"url": format!("http://127.0.0.1:{port}/data"), "metadata": {}});
    let change = json!([{"op": "replace", "path": "/locations", "value": [place]}]);
    server.send(&Request::patch(&format!("/v2/images/{located}"), &change)).expect(200);
    web.go_on.send(true).unwrap();
    assert_ended(&server, &located);

    // Its worker is stopped before that, also when the image has been deleted.
    for is_deleted in [false, true] {
        let next = held_up(&server);
        let task = task(&server, &next)["id"].as_str().unwrap().to_owned();
        let path = format!("/v2/images/{next}");
        if is_deleted {
            server.send(&Request::new("DELETE", &path)).expect(204);
        } else {
            let data = Body::Sized(vec![b'u'; MIB]);
            server.send(&Request::new("PUT", &format!("{path}/file")).data(data)).expect(204);
        }
        server.signal(Signal::SIGTERM);
        web.go_on.send(true).unwrap();
        assert!(server.wait_end(PATIENCE).success());
        server.start_again();
        if is_deleted {
            let ended = server.send(&Request::new("GET", &format!("/v2/tasks/{task}"))).expect(200).json();
            assert_eq!(
                (&ended["status"], &ended["message"]),
                (&json!("failure"), &json!("Image has been deleted, aborting import."))
            );
        } else {
            assert_ended(&server, &next);
        }
    }
}

#[test]
fn data_that_is_still_being_staged_is_not_imported() {
    let server = Server::with(conf);
    let id = create(&server);
    let data = vec![b's'; MIB];
    let request = Request::new("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(data.clone()));
    let mut connection = http::connect(server.address).unwrap();
    connection.write_all(&[request.head("localhost"), data[..MIB / 2].to_vec()].concat()).unwrap();
    wait_for("staging", PATIENCE, || (shown(&server, &id)["status"] == "uploading").then_some(()));
    let document = json!({"method": {"name": "glance-direct"}});
    let asked = Request::new("POST", &format!("/v2/images/{id}/import")).json(&document);
    let text = server.send(&asked).expect(409).text();
    assert!(text.contains("is not permitted as prior operation is still in progress"), "{text}");
    connection.write_all(&data[MIB / 2..]).unwrap();
    Answer::read(&mut BufReader::new(connection), "PUT").unwrap().expect(204);
    import(&server, &id, &document);
    wait_for_task(&server, &id, "success");
    assert_eq!(shown(&server, &id)["size"], MIB);
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert_nothing_left(&server.conf);
}

#[test]
fn a_store_that_is_full_takes_nothing_and_leaves_nothing() {
    let (server, _disk) = Server::with_disk(|given| (SmallDisk::on(given.dir.join("slow"), MIB / 2), conf(given)));
    let id = create(&server);
    import(&server, &id, &download(&["fast", "slow"], true));
    let failed = wait_for_task(&server, &id, "failure");
    assert!(!failed["message"].as_str().unwrap().is_empty(), "{failed}");
    let image = shown(&server, &id);
    assert_free(&image, "queued");
    // Upstream takes a download back as a whole.
    assert_eq!(image["os_glance_failed_import"], "fast,slow");
    assert_nothing_left(&server.conf);

    import(&server, &id, &download(&["fast", "slow"], false));
    wait_for_task(&server, &id, "success");
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!((&image["stores"], &image["os_glance_failed_import"]), (&json!("fast"), &json!("slow")));
    assert!(objects(&server.conf, "slow").is_empty());
}

#[test]
fn with_a_conversion_a_store_that_is_full_takes_the_blame_for_all() {
    let conf = |given| conf(given).set("image_import_opts.image_import_plugins", "[image_conversion]");
    let (server, _disk) = Server::with_disk(|given| (SmallDisk::on(given.dir.join("slow"), MIB / 2), conf(given)));
    let id = create(&server);
    stage(&server, &id, &vec![b'd'; MIB]);
    import(&server, &id, &json!({"method": {"name": "glance-direct"}, "stores": ["fast", "slow"]}));
    wait_for_task(&server, &id, "failure");
    assert_eq!(shown(&server, &id)["os_glance_failed_import"], "fast,slow");
}
