//! Requests that a host sends on to the one that has the staged data, and what the client hears where that one refuses.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::thread;

use super::super::common::{Answer, Conf, Request, Server, http};
use super::super::{MIB, Web, conf, create, direct, objects, shown, sqlite, stage, wait_for_task};
use super::hosts::staging_elsewhere;

/// A service whose database and stores its other hosts share.
fn first() -> Server {
    Server::with(conf(&Web::start()))
}

/// Two hosts of it, each with a staging area of its own; `change` is what the first of them is set up with.
fn hosts(of: &Conf, change: impl FnOnce(Conf) -> Conf) -> [Server; 2] {
    let near = change(staging_elsewhere(of, "near"));
    [near, staging_elsewhere(of, "far")].map(Server::start)
}

fn staged(server: &Server) -> String {
    let id = create(server);
    stage(server, &id, &vec![b'w'; MIB]);
    id
}

fn import(id: &str) -> Request {
    Request::new("POST", &format!("/v2/images/{id}/import")).json(&direct())
}

fn delete(id: &str) -> Request {
    Request::new("DELETE", &format!("/v2/images/{id}"))
}

/// The status of the other host in words, and nothing else that it has said.
#[track_caller]
fn assert_refused(answer: Answer, status: u16, words: &str) {
    let answer = answer.expect(status);
    let text = answer.text();
    assert!(text.contains(&format!("{status} {words}")), "{text}");
    assert!(!text.contains("own words") && !text.contains("Stage host") && !text.contains("Store for"), "{text}");
}

/// glanceclient and openstacksdk name a store in no other way.
#[test]
fn the_store_that_a_header_names_goes_along() {
    let first = first();
    let [near, far] = hosts(&first.conf, |conf| conf);
    let id = staged(&near);
    far.send(&import(&id).header("x-image-meta-store", "slow")).expect(202);
    wait_for_task(&far, &id, "success");
    assert_eq!(shown(&far, &id)["stores"], "slow");
    assert!(objects(&first.conf, "fast").is_empty() && objects(&first.conf, "slow") == [id]);
}

/// An import goes into the wrong store nowhere.
#[test]
fn a_store_that_only_one_of_two_hosts_knows_is_refused() {
    let first = first();
    let [near, far] = hosts(&first.conf, |conf| conf.set("DEFAULT.enabled_backends", "fast:file"));
    let there = staged(&near);
    assert_refused(far.send(&import(&there).header("x-image-meta-store", "slow")), 409, "Conflict");
    let here = staged(&far);
    let answer = near.send(&import(&here).header("x-image-meta-store", "slow")).expect(409);
    assert!(answer.text().contains("Store for identifier slow not found"), "{}", answer.text());
    for id in [&there, &here] {
        let image = shown(&far, id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&"uploading".into(), None), "{image}");
    }
    assert!(objects(&first.conf, "fast").is_empty() && objects(&first.conf, "slow").is_empty());
}

#[test]
fn a_policy_of_the_host_with_the_staged_data_counts() {
    let first = first();
    let [near, far] = hosts(&first.conf, |conf| conf.policy(&BTreeMap::new()));
    let id = staged(&near);
    let nobody = ["modify_image", "delete_image"].map(|rule| (rule.to_owned(), "!".to_owned()));
    // A changed file counts for the next request.
    let _ = near.conf.clone().policy(&BTreeMap::from(nobody));
    for request in [import(&id), delete(&id)] {
        let answer = far.send(&request.header("x-openstack-request-id", "far"));
        // The log of the host that has refused tells why.
        let request_id = answer.header("x-openstack-request-id").unwrap().to_owned();
        assert_ne!(request_id, "req-far");
        near.log_with(&request_id);
        assert_refused(answer, 403, "Forbidden");
    }
    let image = shown(&far, &id);
    assert_eq!((&image["status"], image.get("os_glance_import_task")), (&"uploading".into(), None), "{image}");
    assert!(near.conf.dir.join("staging").join(&id).try_exists().unwrap());
}

/// A host that refuses everything in this way. Gives its URL.
fn refusing(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            http::skip_head(&connection);
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nX-Openstack-Request-Id: req-other\r\n");
            let body = "Content-Length: 9\r\n\r\nown words";
            // Whoever asked may be gone by now.
            let _ = connection.write_all((head + body).as_bytes());
        }
    });
    url
}

/// Only where nobody has answered a deletion, it is done without that host.
#[test]
fn what_the_host_with_the_staged_data_answers_is_the_answer() {
    let first = first();
    let [_, far] = hosts(&first.conf, |conf| conf);
    let id = staged(&far);
    for (status, code, words) in [
        ("403 Forbidden", 403, "Forbidden"),
        ("404 Not Found", 404, "Not Found"),
        ("409 Conflict", 409, "Conflict"),
        ("500 Internal Server Error", 500, "Internal Server Error"),
        ("503 Service Unavailable", 503, "Service Unavailable"),
    ] {
        let url = refusing(status);
        let delete_old =
            format!("delete from image_properties where image_id = '{id}' and name = 'os_glance_stage_host'");
        let columns = "image_id, name, value, created_at, deleted";
        let values = format!("'{id}', 'os_glance_stage_host', '{url}', '2020-01-01 00:00:00.000000', 0");
        let insert = format!("insert into image_properties ({columns}) values ({values})");
        sqlite(&first.conf.database(), &format!("{delete_old}; {insert}"));
        for request in [import(&id), delete(&id)] {
            let answer = far.send(&request);
            assert_eq!(answer.header("x-openstack-request-id"), Some("req-other"), "{status}");
            assert_refused(answer, code, words);
        }
        let image = shown(&far, &id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&"uploading".into(), None), "{image}");
    }
    assert!(far.conf.dir.join("staging").join(&id).try_exists().unwrap());
}
