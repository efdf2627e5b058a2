//! What happens to an image is told to the listeners, in the order in which upstream's notifier would; the log is one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::time::Duration;

use common::{Body, Request, Server, wait_for};
use serde_json::json;

/// Upstream's names of the events in the log that concern the image, in their order, with what else the line says.
fn events(server: &Server, id: &str) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains(id) && line.contains("image."));
    lines
        .filter_map(|line| {
            let start = line.find("event=").map(|at| at + "event=".len())?;
            let rest = line[start..].trim_start_matches('"');
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '.').unwrap_or(rest.len());
            Some(rest[..end].to_owned())
        })
        .collect()
}

#[test]
fn each_transition_of_an_image_is_told() {
    let server = Server::simple();
    let image = json!({"name": "told", "disk_format": "raw", "container_format": "bare"});
    let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v2/images/{id}");
    let file = format!("{path}/file");

    // One that is refused, one that is not.
    let short = Request::new("PUT", &file).header("x-openstack-image-size", "5").data(Body::Sized(b"1234".to_vec()));
    server.send(&short).expect(400);
    server.send(&Request::new("PUT", &file).data(Body::Sized(b"12345".to_vec()))).expect(204);
    server.send(&Request::new("GET", &file)).expect(200);
    server.send(&Request::new("GET", &path)).expect(200);
    server.send(&Request::new("PUT", &format!("{path}/tags/blue"))).expect(204);
    server.send(&Request::new("POST", &format!("{path}/members")).json(&json!({"member": "m"}))).expect(200);
    server.send(&Request::new("PUT", &format!("{path}/members/m")).json(&json!({"status": "accepted"}))).expect(200);
    server.send(&Request::new("DELETE", &format!("{path}/members/m"))).expect(204);
    server.send(&Request::new("POST", &format!("{path}/actions/deactivate"))).expect(204);
    server.send(&Request::new("POST", &format!("{path}/actions/reactivate"))).expect(204);
    server.send(&Request::new("DELETE", &path)).expect(204);

    let mut expected = vec!["image.create"];
    expected.extend(["image.update", "image.prepare", "image.upload", "image.update"]);
    expected.extend(["image.update", "image.prepare", "image.upload", "image.activate", "image.update"]);
    expected.push("image.send");
    expected.push("image.update");
    expected.extend(["image.member.create", "image.member.update", "image.member.delete"]);
    expected.extend(["image.update", "image.update", "image.delete"]);
    let found = wait_for("all is told", Duration::from_secs(10), || {
        let found = events(&server, &id);
        (found.last().is_some_and(|last| last == "image.delete")).then_some(found)
    });
    assert_eq!(found, expected, "{}", server.log());
    let log = server.log();
    for words in ["image data stored", "image is deactivated now", "image is active now"] {
        assert!(log.lines().any(|line| line.contains(words) && line.contains(&id)), "{words}: {log}");
    }
    let sent = log.lines().find(|line| line.contains("image data sent")).unwrap();
    assert!(sent.contains("bytes=5") && sent.contains("expected=5"), "{sent}");
}
