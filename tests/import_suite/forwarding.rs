//! Requests that a host sends on to the one that has the staged data.

use super::super::common::{Answer, Conf, Request, Server};
use super::super::{MIB, Web, conf, create, direct, objects, shown, stage, wait_for_task};
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
