//! The service dies at each of its named points while images are staged, imported, copied, converted and made.
//!
//! A round begins all of that in turn until the process is dead, starts the service again and looks at what there is. Without more said
//! there is a round for each point; with `GLANCE_TEST_THOROUGH` the later times count at which a point is passed as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::super::common::{Body, Client, Conf, Request, Server, pause, wait_for};
use super::super::{PATIENCE, assert_nothing_left, objects};
use super::{disk_in, plain_disk, serve};

/// How often a point is passed at most in a round that is thorough.
const TIMES: usize = 6;

/// The names in the service's own source, so that none is forgotten.
fn points() -> BTreeSet<String> {
    fn visit(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                visit(&entry, found);
            } else {
                let text = fs::read_to_string(&entry).unwrap();
                let names = text.split("crash_point(\"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }
    let mut found = BTreeSet::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

/// Whoever begins all of it; every answer may fail to come.
struct Work {
    client: Client,
    converted: Vec<u8>,
    port: u16,
}

impl Work {
    fn send(&mut self, request: &Request) -> Option<Value> {
        let answer = self.client.try_send(request).ok()?;
        Some(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn create(&mut self) -> Option<String> {
        let image = json!({"name": "crash", "disk_format": "qcow2", "container_format": "bare"});
        Some(self.send(&Request::new("POST", "/v2/images").json(&image))?["id"].as_str()?.to_owned())
    }

    fn stage(&mut self, data: &[u8]) -> Option<String> {
        let id = self.create()?;
        self.send(&Request::new("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(data.to_vec())))?;
        Some(id)
    }

    /// `None`: the service is dead.
    fn import(&mut self, id: &str, document: &Value) -> Option<()> {
        self.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(document))?;
        self.wait(&format!("/v2/images/{id}"), |image| image.get("os_glance_import_task").is_none())
    }

    fn wait(&mut self, path: &str, is_over: impl Fn(&Value) -> bool) -> Option<()> {
        let begun = Instant::now();
        while !is_over(&self.send(&Request::new("GET", path))?) {
            assert!(begun.elapsed() < PATIENCE, "{path} has no end");
            pause(std::time::Duration::from_millis(10));
        }
        Some(())
    }

    /// All of it, until the service dies.
    fn run(&mut self) -> Option<()> {
        let url = format!("http://127.0.0.1:{}", self.port);
        let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
        let disk = self.converted.clone();
        let staged = self.stage(&disk)?;
        self.import(&staged, &direct)?;
        self.import(&staged, &json!({"method": {"name": "copy-image"}, "all_stores": true}))?;
        let wrong = self.stage(b"no disk")?;
        self.import(&wrong, &direct)?;
        let downloaded = self.create()?;
        let download = json!({"method": {"name": "web-download", "uri": format!("{url}/disk")}, "all_stores": true});
        self.import(&downloaded, &download)?;
        for path in ["/disk", "/none"] {
            let image = json!({"name": "made", "disk_format": "qcow2", "container_format": "bare"});
            let input =
                json!({"import_from": format!("{url}{path}"), "import_from_format": "", "image_properties": image});
            let task =
                self.send(&Request::new("POST", "/v2/tasks").json(&json!({"type": "import", "input": input})))?;
            let path = format!("/v2/tasks/{}", task["id"].as_str()?);
            self.wait(&path, |task| task["status"] == "success" || task["status"] == "failure")?;
        }
        Some(())
    }
}

fn conf(conf: Conf) -> Conf {
    let state = conf.dir.join("state").display().to_string();
    conf.two_stores()
        .set("service.state_directory", state)
        .set("image_import_opts.image_import_plugins", "[image_conversion]")
        .set("image_conversion.output_format", "raw")
        .set("taskflow_executor.conversion_format", "raw")
        .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
        .set("import_filtering_opts.allowed_ports", "[]")
}

/// Nothing is stuck, nothing left, and data is what it should be.
#[track_caller]
fn check(server: &Server, disk: &[u8], point: &str) {
    let digest = hex::encode(Sha512::digest(disk));
    let images = server.send(&Request::new("GET", "/v2/images?limit=1000")).expect(200).json();
    let mut expected: BTreeMap<&str, Vec<String>> =
        ["fast", "slow", "staging", "tasks"].map(|name| (name, vec![])).into();
    for image in images["images"].as_array().unwrap() {
        let id = image["id"].as_str().unwrap().to_owned();
        assert_eq!(image.get("os_glance_import_task"), None, "{point}: {image}");
        assert!(
            ["", "null"].contains(&image["os_glance_importing_to_stores"].as_str().unwrap_or("")),
            "{point}: {image}"
        );
        let stores = image["stores"].as_str().unwrap_or_default();
        match image["status"].as_str().unwrap() {
            // An image that a task makes goes with the task.
            "queued" => assert!(stores.is_empty() && image["name"] != "made", "{point}: {image}"),
            "uploading" => expected.get_mut("staging").unwrap().push(id.clone()),
            "active" => {
                assert_eq!(
                    (&image["os_hash_value"], &image["disk_format"]),
                    (&json!(digest), &json!("raw")),
                    "{point}"
                );
                for store in stores.split(',') {
                    let data = fs::read(server.conf.dir.join(store).join(&id)).unwrap();
                    assert!(data == disk, "{point}: {store} has other data");
                    expected.get_mut(store).unwrap().push(id.clone());
                }
            }
            _ => panic!("{point}: {image}"),
        }
    }
    for (folder, mut ids) in expected {
        ids.sort();
        // What is staged is looked at in the background.
        wait_for(&format!("{point}: {folder} has only what it should"), PATIENCE, || {
            (objects(&server.conf, folder) == ids).then_some(())
        });
    }
    let over = |task: &Value| task["status"] == "success" || task["status"] == "failure";
    let tasks = server.send(&Request::new("GET", "/v2/tasks?limit=1000")).expect(200).json();
    assert!(tasks["tasks"].as_array().unwrap().iter().all(over), "{point}: {tasks}");
    for image in images["images"].as_array().unwrap() {
        let path = format!("/v2/images/{}", image["id"].as_str().unwrap());
        server.send(&Request::new("DELETE", &path)).expect(204);
    }
    assert_nothing_left(&server.conf);
}

#[test]
fn wherever_the_service_dies_nothing_is_stuck_and_nothing_left() {
    let folder = tempfile::tempdir().unwrap();
    let disk = plain_disk();
    let converted = disk_in("qcow2", &disk, folder.path());
    let port = serve(BTreeMap::from([("/disk".to_owned(), converted.clone())]));
    let mut server = Server::with(conf);
    let points = points();
    assert!(points.len() >= 25, "{points:?}");
    let times = if std::env::var_os("GLANCE_TEST_THOROUGH").is_some() { TIMES } else { 1 };
    let mut rounds = 0;
    for point in &points {
        for time in 1..=times {
            server.crash();
            let named = format!("{point}:{time}");
            let recovery = point.starts_with("reclaim.");
            if recovery && time > 1 {
                break;
            }
            server.start_to_crash_at(if recovery { "import.opened" } else { &named });
            let mut work = Work { client: server.client(), converted: converted.clone(), port };
            if work.run().is_some() {
                assert!(time > 1, "{point} is never passed");
                break;
            }
            server.wait_crash();
            if recovery {
                server.crash_at_start(&named);
            }
            rounds += 1;
            server.start_again();
            check(&server, &disk, &named);
        }
    }
    eprintln!("{rounds} rounds");
    // Without a crash all of it comes to an end, and converted disks are what they were.
    Work { client: server.client(), converted, port }.run().expect("the service lives");
    let images = server.send(&Request::new("GET", "/v2/images?status=active")).expect(200).json();
    assert_eq!(images["images"].as_array().unwrap().len(), 3, "{images}");
    check(&server, &disk, "no crash");
}
