//! What happens to an image or a metadata definition is told to the listeners, in the order in which upstream's notifier would; the log is one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::time::Duration;

use common::uploads::{begin_upload, status};
use common::{Body, Conf, Request, Server, wait_for};
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
    let log = server.log_with("image data sent");
    for words in ["image data stored", "image is deactivated now", "image is active now"] {
        assert!(log.lines().any(|line| line.contains(words) && line.contains(&id)), "{words}: {log}");
    }
    let sent = log.lines().find(|line| line.contains("image data sent")).unwrap();
    assert!(sent.contains("bytes=5") && sent.contains("expected=5"), "{sent}");
}

/// Upstream's notifier tells of it where the image's repository saves the image again.
#[test]
fn an_image_that_goes_back_to_queued_is_told() {
    let mut server = Server::with(Conf::own_state);
    let create = |server: &Server| {
        let image = json!({"name": "told", "disk_format": "raw", "container_format": "bare"});
        let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    // Its data is refused.
    let id = create(&server);
    let stage = Request::new("PUT", &format!("/v2/images/{id}/stage")).header("x-openstack-image-size", "5");
    server.send(&stage.data(Body::Sized(b"1234".to_vec()))).expect(400);
    wait_for("the last is told", Duration::from_secs(10), || (events(&server, &id).len() >= 3).then_some(()));
    assert_eq!(events(&server, &id), ["image.create", "image.update", "image.update"]);

    // Its worker dies.
    let id = create(&server);
    let _client = begin_upload(&server, &id, 1000, 100);
    server.crash();
    let before = events(&server, &id);
    server.start_again();
    wait_for("recovery", Duration::from_secs(10), || (status(&server, &id) == "queued").then_some(()));
    let log = server.log_with("image put back to its former status after its worker had died");
    assert_eq!(events(&server, &id)[before.len()..], ["image.update"], "{log}");
}

/// Upstream writes to one store after the other, and saves the image once more.
#[test]
fn the_course_of_an_import_is_told() {
    let server = Server::with(|conf| {
        let allowed = [("hosts", "[127.0.0.1]"), ("ports", "[]")];
        allowed.iter().fold(conf.two_stores(), |conf, (name, value)| {
            conf.set(&format!("import_filtering_opts.allowed_{name}"), value)
        })
    });
    let create = || {
        let image = json!({"name": "told", "disk_format": "raw", "container_format": "bare"});
        let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    let import = |id: &str, document| {
        server.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&document)).expect(202);
    };
    let told_after = |id: &str, last: &str, count: usize| {
        wait_for("all is told", Duration::from_secs(10), || {
            let found = events(&server, id);
            (found.len() >= count && found.last().is_some_and(|found| found == last)).then_some(found)
        })
    };

    let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
    let id = create();
    let stage = Request::new("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(b"12345".to_vec()));
    server.send(&stage).expect(204);
    import(&id, direct);
    let mut expected = vec!["image.create", "image.update", "image.update"];
    expected.extend(["image.update", "image.prepare", "image.upload", "image.activate", "image.update"]);
    assert_eq!(told_after(&id, "image.update", expected.len()), expected, "{}", server.log());
    import(&id, json!({"method": {"name": "copy-image"}, "stores": ["slow"]}));
    expected.extend(["image.update", "image.prepare", "image.upload", "image.update"]);
    assert_eq!(told_after(&id, "image.update", expected.len()), expected, "{}", server.log());

    // Nobody listens there.
    let id = create();
    import(&id, json!({"method": {"name": "web-download", "uri": "http://127.0.0.1:9/none"}}));
    assert_eq!(told_after(&id, "image.update", 3), ["image.create", "image.update", "image.update"]);
}

#[test]
fn each_change_of_a_metadata_definition_is_told() {
    let server = Server::simple();
    let namespaces = "/v2/metadefs/namespaces";
    let send = |method: &str, path: &str, body: serde_json::Value, status: u16| {
        let request = Request::new(method, &format!("{namespaces}{path}"));
        server.send(&if body.is_null() { request } else { request.json(&body) }).expect(status);
    };
    let none = serde_json::Value::Null;
    let property = |name: &str| json!({"name": name, "title": "P", "type": "string"});
    let contents = json!({
        "namespace": "told", "owner": "us", "objects": [{"name": "o"}], "tags": [{"name": "t"}],
        "properties": {"p": {"title": "P", "type": "string"}}, "resource_type_associations": [{"name": "r"}],
    });
    send("POST", "", contents, 201);
    // What is refused is not told.
    send("POST", "/told/objects", json!({"name": "o"}), 409);
    send("PUT", "/told/objects/o", json!({"name": "o2"}), 200);
    send("DELETE", "/told/objects/o2", none.clone(), 204);
    send("POST", "/told/properties", property("q"), 201);
    send("PUT", "/told/properties/q", property("q2"), 200);
    send("DELETE", "/told/properties/q2", none.clone(), 204);
    send("POST", "/told/tags/u", none.clone(), 201);
    send("PUT", "/told/tags/u", json!({"name": "u2"}), 200);
    send("DELETE", "/told/tags/u2", none.clone(), 204);
    send("POST", "/told/tags", json!({"tags": [{"name": "v"}, {"name": "w"}]}), 201);
    send("POST", "/told/resource_types", json!({"name": "r2"}), 201);
    send("DELETE", "/told/resource_types/r2", none.clone(), 204);
    send("DELETE", "/told/objects", none.clone(), 204);
    send("DELETE", "/told/properties", none.clone(), 204);
    send("DELETE", "/told/tags", none.clone(), 204);
    send("PUT", "/told", json!({"namespace": "renamed", "owner": "us"}), 200);
    send("DELETE", "/renamed", none, 204);

    let expected = "namespace.create told|resource_type.create r|object.create o|tag.create t|property.create p|\
        object.update o2|object.delete o2|property.create q|property.update q2|property.delete q2|\
        tag.create u|tag.update u2|tag.delete u2|tag.create v|tag.create w|resource_type.create r2|resource_type.delete r2|\
        namespace.delete_objects told|namespace.delete_properties told|namespace.delete_tags told|\
        namespace.update renamed|namespace.delete renamed";
    let told = || -> Vec<String> {
        let log = server.log();
        let word = |line: &str, name: &str| {
            let rest = line.split_once(&format!(" {name}="))?.1;
            Some(rest.split(' ').next()?.trim_matches('"').to_owned())
        };
        let of_line = |line: &str| {
            let event = word(line, "event")?;
            Some(format!("{} {}", event.strip_prefix("metadef_")?, word(line, "name")?))
        };
        log.lines().filter_map(of_line).collect()
    };
    let found = wait_for("all is told", Duration::from_secs(10), || {
        let told = told();
        told.last().is_some_and(|last| last == "namespace.delete renamed").then_some(told)
    });
    assert_eq!(found, expected.split('|').collect::<Vec<_>>(), "{}", server.log());
    let log = server.log();
    assert!(log.lines().any(|line| line.contains("name=u2 old_name=u ")), "{log}");
}
