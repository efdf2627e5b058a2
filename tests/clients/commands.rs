//! Commands of both clients, a line each in `tests/data`.

use std::fs;
use std::io::Write;
use std::net::TcpListener;

use crate::common::http::skip_head;
use crate::outcomes::{lines_of, same_outcomes, same_outcomes_of};
use crate::side::{SMALL, Side, data, sides, sides_with};

/// Commands that stage, import and copy, by all methods but the one that needs a third service, on both services.
#[test]
fn imports() {
    let folder = tempfile::tempdir().unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image", web.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in web.incoming() {
            let mut connection = connection.unwrap();
            skip_head(&connection);
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {SMALL}\r\n\r\n");
            // Whoever asked may be gone by now.
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&data()[..SMALL]));
        }
    });
    let sides = sides_with(folder.path(), "sqlite", |conf, _| {
        conf.set("import_filtering_opts.allowed_hosts", "[127.0.0.1]").set("import_filtering_opts.allowed_ports", "[]")
    });
    let sides = sides.map(|side| Side { user: "admin", project: "admin", ..side });
    let commands = include_str!("../data/import_commands.txt").replace("<web>", &url);
    same_outcomes_of(&sides, &lines_of(&commands));
    for side in &sides {
        for file in ["one", "four"] {
            assert!(fs::read(side.work.join(file)).unwrap() == data()[..SMALL], "{} gave other data back", side.url);
        }
    }
}

/// Every command for metadata definitions, on both services.
#[test]
fn metadata_definitions() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "postgresql").map(|side| Side { user: "admin", project: "admin", ..side });
    for side in &sides {
        fs::write(side.work.join("namespace.json"), NAMESPACE).unwrap();
    }
    let lines = include_str!("../data/metadef_commands.txt");
    for command in commands_for_metadata(&sides[0]) {
        let is_it = |line: &str| format!("{} ", line.trim_start_matches('!')).starts_with(&format!("{command} "));
        assert!(lines.lines().any(is_it), "nothing runs {command}");
    }
    same_outcomes(&sides, lines);
}

/// All that the clients themselves list.
fn commands_for_metadata(side: &Side) -> Vec<String> {
    let program = "from importlib.metadata import entry_points\n\
                   from glanceclient.v2 import shell\n\
                   for name in dir(shell):\n\
                   \x20   if name.startswith('do_md_'): print('glance', name[3:].replace('_', '-'))\n\
                   for point in entry_points(group='openstack.image.v2'):\n\
                   \x20   if 'metadef' in point.name: print('openstack', point.name.replace('_', ' '))\n";
    let listed = side.run("python", &["-c", program]);
    assert!(listed.ok, "{}", listed.errors);
    let commands: Vec<String> = listed.printed.lines().map(str::to_owned).collect();
    assert!(commands.len() > 50, "{commands:?}");
    commands
}

const NAMESPACE: &str = r#"{
    "namespace": "imported",
    "visibility": "public",
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "img_"}],
    "properties": {"p": {"title": "P", "type": "string", "default": "x"}},
    "objects": [
        {"name": "o", "description": "d", "properties": {"q": {"title": "Q", "type": "integer"}}, "required": ["q"]}
    ],
    "tags": [{"name": "t"}]
}"#;

/// Every command for the image cache, on both services.
#[test]
fn image_cache() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides_with(folder.path(), "sqlite", |conf, own| {
        conf.set("paste_deploy.flavor", "keystone+cachemanagement")
            .set("DEFAULT.image_cache_dir", own.join("cache").display())
            .set("DEFAULT.worker_self_reference_url", "http://node.example.com")
    });
    let sides = sides.map(|side| Side { user: "admin", project: "admin", ..side });
    same_outcomes(&sides, include_str!("../data/cache_commands.txt"));
    for side in &sides {
        assert!(fs::read(side.work.join("saved")).unwrap() == data()[..SMALL], "{} gave other data back", side.url);
    }
}
