//! Images whose properties announce a signature of their data, which nobody here verifies.

use serde_json::{Value, json};

use super::super::common::{Request, Server};
use super::super::{
    MIB, Web, assert_free, assert_nothing_left, conf, create, import, objects, shown, stage, wait_for_task,
};

const NAMES: [&str; 4] =
    ["img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"];

fn signed(server: &Server) -> String {
    let id = create(server);
    let change: Vec<Value> =
        NAMES.iter().map(|name| json!({"op": "add", "path": format!("/{name}"), "value": "x"})).collect();
    server.send(&Request::patch(&format!("/v2/images/{id}"), &json!(change))).expect(200);
    id
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
        let task = wait_for_task(&server, &id, "failure");
        let text = format!("Signature verification failed for image {id}");
        assert!(task["message"].as_str().unwrap().contains(&text), "{task}");
        let image = shown(&server, &id);
        assert_free(&image, "queued");
        assert_eq!(image["os_glance_failed_import"], "fast,slow", "{image}");
        let without = [&image["size"], &image["checksum"], &image["os_hash_value"]];
        assert_eq!((without, image.get("stores")), ([&Value::Null; 3], None), "{image}");
        assert_nothing_left(&server.conf);

        // The condition is upstream's: all four.
        let remove = json!([{"op": "remove", "path": "/img_signature_key_type"}]);
        server.send(&Request::patch(&format!("/v2/images/{id}"), &remove)).expect(200);
        stage(&server, &id, &vec![b's'; MIB]);
        import(&server, &id, &direct);
        wait_for_task(&server, &id, "success");
        assert_free(&shown(&server, &id), "active");
        assert_eq!([objects(&server.conf, "fast"), objects(&server.conf, "slow")], [[id.clone()], [id]]);
    }
}
