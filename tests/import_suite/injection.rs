//! Custom properties that the operator gives imported images.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::super::common::{Conf, Request, Server, wait_for};
use super::super::{
    PATIENCE, Web, assert_free, assert_nothing_left, conf, create, direct, download, import, shown, stage,
    wait_for_begin, wait_for_task,
};

/// These plugins, of which one gives everybody's images two properties.
fn injecting(web: &Web, plugins: &'static str) -> impl FnOnce(Conf) -> Conf {
    let set = conf(web);
    move |conf| {
        set(conf)
            .set("image_import_opts.image_import_plugins", plugins)
            .set("inject_metadata_properties.inject", "origin:import,other:x")
            .set("inject_metadata_properties.ignore_user_roles", "nobody")
    }
}

fn injected(image: &Value) -> [Option<&str>; 2] {
    ["origin", "other"].map(|name| image[name].as_str())
}

#[test]
fn properties_are_there_while_the_import_runs_and_stay_after_a_crash() {
    let web = Web::start();
    let mut server = Server::with(injecting(&web, "[inject_image_metadata]"));
    let (id, wanted) = (create(&server), [Some("import"), Some("x")]);
    let begin = |server: &Server| {
        import(server, &id, &download(&web));
        wait_for_begin(&web, server, &id);
        wait_for("injected properties", PATIENCE, || (injected(&shown(server, &id)) == wanted).then_some(()));
        assert_eq!(shown(server, &id)["status"], "importing");
    };
    begin(&server);
    server.crash();
    web.go_on.send(false).unwrap();
    server.start_again();
    wait_for_task(&server, &id, "failure");
    let image = shown(&server, &id);
    assert_free(&image, "queued");
    assert_eq!(injected(&image), wanted);

    // Else nothing would tell when the next import has injected them.
    let removal = json!([{"op": "remove", "path": "/origin"}, {"op": "remove", "path": "/other"}]);
    let patch = |change| server.send(&Request::patch(&format!("/v2/images/{id}"), change)).expect(200);
    patch(&removal);
    begin(&server);
    // They are its own like others.
    let change = json!([{"op": "replace", "path": "/origin", "value": "mine"}, {"op": "remove", "path": "/other"}]);
    patch(&change);
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &id, "success");
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!(injected(&image), [Some("mine"), None]);
}

#[test]
fn properties_stay_when_the_next_plugin_fails() {
    let web = Web::start();
    let server = Server::with(injecting(&web, "[inject_image_metadata,image_conversion]"));
    let image = json!({"name": "wrong", "disk_format": "qcow2", "container_format": "bare"});
    let made = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
    let id = made["id"].as_str().unwrap();
    stage(&server, id, b"no disk");
    import(&server, id, &direct());
    let failed = wait_for_task(&server, id, "failure");
    assert_eq!(failed["message"], "Image format mismatch");
    let image = shown(&server, id);
    assert_free(&image, "queued");
    assert_eq!(injected(&image), [Some("import"), Some("x")]);
    assert_eq!(image["disk_format"], "qcow2");
    assert_nothing_left(&server.conf);
}

#[test]
fn no_image_gets_more_properties_than_it_may_have() {
    let web = Web::start();
    let server = Server::with(|conf| {
        injecting(&web, "[image_decompression,inject_image_metadata]")(conf).set("DEFAULT.image_property_quota", 3)
    });
    let id = create(&server);
    let path = format!("/v2/images/{id}");
    let add = |name: &str| json!([{"op": "add", "path": format!("/{name}"), "value": "own"}]);
    server.send(&Request::patch(&path, &add("first"))).expect(200);
    stage(&server, &id, &[b'w'; 1000]);
    server.send(&Request::patch(&path, &add("second"))).expect(200);
    import(&server, &id, &direct());
    let failed = wait_for_task(&server, &id, "failure");
    let message = "The limit has been exceeded on the number of allowed image properties. Attempted: 4, Maximum: 3";
    assert_eq!(failed["message"], message);
    let image = shown(&server, &id);
    // Nothing is wrong with the data.
    assert_free(&image, "uploading");
    assert_eq!(injected(&image), [None, None]);

    // One that it has already does not count again.
    let change = json!([{"op": "remove", "path": "/first"}, {"op": "add", "path": "/origin", "value": "own"}]);
    server.send(&Request::patch(&path, &change)).expect(200);
    import(&server, &id, &direct());
    wait_for_task(&server, &id, "success");
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!((injected(&image), &image["second"]), ([Some("import"), Some("x")], &json!("own")));

    // What another plugin has put in the place of the staged data is no client's.
    let id = create(&server);
    let two =
        json!([{"op": "add", "path": "/first", "value": "own"}, {"op": "add", "path": "/second", "value": "own"}]);
    server.send(&Request::patch(&format!("/v2/images/{id}"), &two)).expect(200);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&[b'w'; 1000]).unwrap();
    stage(&server, &id, &encoder.finish().unwrap());
    import(&server, &id, &direct());
    assert_eq!(wait_for_task(&server, &id, "failure")["message"], message);
    let image = shown(&server, &id);
    assert_free(&image, "queued");
    assert_eq!((&image["size"], injected(&image)), (&Value::Null, [None, None]));
}
