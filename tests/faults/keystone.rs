//! A Keystone that goes away.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::peers::Keystone;
use crate::common::{Answer, Body, Request, Server, wait_for};
use crate::{MIB, upload};

#[test]
fn keystone_goes_away_and_comes_back() {
    let keystone = Keystone::private();
    keystone.limits(&json!({
        "registered": {"image_size_total": 2, "image_stage_total": 1, "image_count_total": 2, "image_count_uploading": 5},
        "domain": {"image_size_total": 3, "image_count_total": 3},
    }));
    let server = Server::with(|conf| conf.two_stores().keystone(&keystone).limits(&keystone));
    let (known, fresh) = (keystone.token("demo@demo"), keystone.token("alt_demo@alt_demo"));
    let list = |token: &str| server.send(&Request::new("GET", "/v2/images").header("X-Auth-Token", token));
    list(&known).expect(200);
    let image = limits_hold_for_two_levels(&server, &keystone);
    let upload = upload(&image, Body::Sized(vec![b'x'; 10])).header("X-Auth-Token", &known);

    keystone.away();
    // Nobody tells what a project may have, and nothing is made meanwhile.
    server.send(&make(&known)).expect(503);
    server.send(&upload).expect(503);
    server.send(&Request::new("GET", "/v2/info/usage").header("X-Auth-Token", &known)).expect(503);
    server.send(&Request::new("GET", &format!("/v2/images/{image}")).header("X-Auth-Token", &known)).expect(200);
    // A token that was seen a moment ago still serves; another cannot be checked, and that is said soon.
    list(&known).expect(200);
    // Nor does a reload forget it, whatever it changes elsewhere.
    for limit in [31, 32] {
        server.conf.clone().set("DEFAULT.limit_param_default", limit).write();
        server.signal(Signal::SIGHUP);
        let reloaded = format!("limit_param_default: {} → {limit}", if limit == 31 { 25 } else { 31 });
        wait_for("the reload", Duration::from_secs(20), || server.log().contains(&reloaded).then_some(()));
        list(&known).expect(200);
    }
    let start = Instant::now();
    list(&fresh).expect(503);
    assert!(start.elapsed() < Duration::from_secs(25), "took {:?}", start.elapsed());
    server.send(&Request::new("GET", "/versions")).expect(200);
    server.send(&Request::new("GET", "/v2/images")).expect(401);

    keystone.again();
    // That it was away is not remembered against the token.
    wait_for("tokens are checked again", Duration::from_secs(15), || (list(&fresh).status == 200).then_some(()));
    list("nonsense").expect(401);
    server.send(&upload).expect(204);
    keystone.stop();
}

fn make(token: &str) -> Request {
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    Request::new("POST", "/v2/images").header("X-Auth-Token", token).json(&image)
}

/// What one project may have, and what all projects of the domain may have together. Returns an image without data.
fn limits_hold_for_two_levels(server: &Server, keystone: &Keystone) -> String {
    let (one, other) = (keystone.token("demo@demo"), keystone.token("alt_demo@alt_demo"));
    let create = |token: &str| server.send(&make(token)).expect(201).json()["id"].as_str().unwrap().to_owned();
    let refused = |answer: Answer, project: &str, words: &str| {
        let text = answer.expect(413).text();
        assert!(text.contains(&format!("Project {project} is over a limit for [Resource {words}]")), "{text}");
    };
    let (first, second, others) = (create(&one), create(&one), create(&other));
    let demo = keystone.projects["demo"].as_str();
    let too_many =
        |limit: u8| format!("image_count_total is over limit of {limit} due to current usage {limit} and delta 1");
    refused(server.send(&make(&one)), demo, &too_many(2));
    refused(server.send(&make(&other)), "default", &too_many(3));

    // Parts of a MiB do not count.
    let send = |token: &str, id: &str, size: usize| {
        server.send(&upload(id, Body::Sized(vec![b'x'; size])).header("X-Auth-Token", token))
    };
    send(&one, &first, 2 * MIB + MIB / 2).expect(204);
    refused(send(&one, &second, MIB), demo, "image_size_total is over limit of 2 due to current usage 2 and delta 1");
    refused(
        send(&other, &others, 2 * MIB),
        "default",
        "image_size_total is over limit of 3 due to current usage 2 and delta 2",
    );
    send(&other, &others, MIB).expect(204);
    second
}
