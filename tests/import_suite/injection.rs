//! Custom properties that the operator gives imported images.

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

    begin(&server);
    // They are its own like others.
    let change = json!([{"op": "replace", "path": "/origin", "value": "mine"}, {"op": "remove", "path": "/other"}]);
    server.send(&Request::patch(&format!("/v2/images/{id}"), &change)).expect(200);
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
