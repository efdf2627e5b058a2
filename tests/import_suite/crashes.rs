//! The service dies at each of its named points while images are staged, imported by each method, copied, decompressed, converted, made,
//! and told where their data lies.
//!
//! A round begins all of that in turn until the process is dead, starts the service again and looks at what there is. Without more said
//! there is a round for each point. With `GLANCE_TEST_THOROUGH` there are 200, or as many as `GLANCE_TEST_ROUNDS` says: where a round begins,
//! and how often its point is passed before, is drawn from `GLANCE_TEST_SEED`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::super::common::{Body, Client, Conf, Request, Server, is_thorough, parameter, pause, wait_for};
use super::super::{PATIENCE, assert_nothing_left, objects};
use super::disks::{OVF, archive};
use super::{disk_in, known, plain_disk, serve_by, token, with_keystone};

/// Rounds of a run that is thorough.
const ROUNDS: u64 = 200;
/// How often a point is passed at most, the time included at which the service dies.
const TIMES: u64 = 3;
/// The image of the other region.
const REMOTE: &str = "0d0d0d0d-0000-4000-8000-000000000001";
/// The names of images that go with the task that makes them.
const MADE: &str = "made";
/// The names of images that are told where their data lies, and what its digest is.
const TOLD: &str = "told";
/// The names of images that have their location before anybody has read what lies there.
const UNREAD: &str = "unread";

/// The points between which such an image has its location and no digest.
const WHILE_UNREAD: [&str; 2] = ["place.taken", "place.hashed"];

/// What has happened when nothing has; it leaves no image unread.
const NO_CRASH: (&str, bool) = ("no crash", false);

/// The names in the service's own source, so that none is forgotten.
fn points() -> Vec<String> {
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
    found.into_iter().collect()
}

/// One way in which an image comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Staged and imported into one store, then copied to the other.
    Direct,
    /// The same, compressed, into both at once.
    Compressed,
    /// What is staged is no disk.
    Wrong,
    Web,
    /// From another region's Image service.
    Region,
    /// A task makes an image of what is there in the web.
    Made(&'static str),
    /// Another service tells where the data lies, and what its digest is, or not, or wrongly.
    Told(Told),
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Digest,
    WrongDigest,
    PlaceAlone,
}

const WAYS: [Way; 11] = [
    Way::Direct,
    Way::Told(Told::WrongDigest),
    Way::Web,
    Way::Made("/disk"),
    Way::Told(Told::Digest),
    Way::Compressed,
    Way::Region,
    Way::Made("/ova"),
    Way::Wrong,
    Way::Told(Told::PlaceAlone),
    Way::Made("/none"),
];

/// What comes, and from where.
struct Source {
    /// A disk as it should be in the end.
    plain: Vec<u8>,
    /// As it comes.
    qcow2: Vec<u8>,
    compressed: Vec<u8>,
    /// Of the web, of the other region's Image service and of Keystone.
    port: u16,
}

impl Source {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plain = plain_disk();
        let [qcow2, vmdk] = ["qcow2", "vmdk"].map(|format| disk_in(format, &plain, folder.path()));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&qcow2).unwrap();
        let compressed = encoder.finish().unwrap();
        let (disk, told) = (qcow2.clone(), plain.clone());
        let port = serve_by(|port| {
            let remote = json!({"id": REMOTE, "status": "active", "disk_format": "qcow2", "container_format": "bare",
                "size": disk.len(), "hw_disk_bus": "scsi"});
            let files = BTreeMap::from([
                ("/ova".to_owned(), archive(&[("a.ovf", OVF.as_bytes()), ("disk.vmdk", &vmdk)])),
                (format!("/v2/images/{REMOTE}"), remote.to_string().into_bytes()),
                (format!("/v2/images/{REMOTE}/file"), disk.clone()),
                ("/v3/auth/tokens".to_owned(), token(port)),
                ("/disk".to_owned(), disk),
                ("/plain".to_owned(), told),
            ]);
            move |_: &str, path: &str| files.get(path).cloned()
        });
        Self { plain, qcow2, compressed, port }
    }

    fn conf(&self, conf: Conf) -> Conf {
        with_keystone(conf.two_stores(), self.port)
            .set("DEFAULT.enabled_backends", "fast:file,slow:file,web:http")
            .own_state()
            .set("DEFAULT.enabled_import_methods", "[glance-direct,web-download,copy-image,glance-download]")
            .set(
                "image_import_opts.image_import_plugins",
                "[image_decompression,inject_image_metadata,image_conversion]",
            )
            .set("inject_metadata_properties.inject", "hw_disk_bus:virtio")
            .set("inject_metadata_properties.ignore_user_roles", "nobody")
            .set("image_conversion.output_format", "raw")
            .set("taskflow_executor.conversion_format", "raw")
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", "[]")
    }
}

/// Whoever begins all of it; every answer may fail to come.
struct Work<'s> {
    client: Client,
    source: &'s Source,
}

impl Work<'_> {
    fn send(&mut self, request: &Request) -> Option<Value> {
        let answer = self.client.try_send(request).ok()?;
        assert!(answer.status < 400, "{} {}: {}", request.method, request.target, answer.text());
        Some(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn create(&mut self) -> Option<String> {
        self.create_as("crash", "qcow2")
    }

    fn create_as(&mut self, name: &str, format: &str) -> Option<String> {
        let image = json!({"name": name, "disk_format": format, "container_format": "bare"});
        Some(self.send(&known("POST", "/v2/images").json(&image))?["id"].as_str()?.to_owned())
    }

    fn stage(&mut self, data: &[u8]) -> Option<String> {
        let id = self.create()?;
        self.send(&known("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(data.to_vec())))?;
        Some(id)
    }

    /// `None`: the service is dead.
    fn import(&mut self, id: &str, document: &Value) -> Option<()> {
        self.send(&known("POST", &format!("/v2/images/{id}/import")).json(document))?;
        self.wait_free(id)
    }

    /// Waits until no task has the image.
    fn wait_free(&mut self, id: &str) -> Option<()> {
        self.wait(&format!("/v2/images/{id}"), |image| image.get("os_glance_import_task").is_none())
    }

    fn wait(&mut self, path: &str, is_over: impl Fn(&Value) -> bool) -> Option<()> {
        let begun = Instant::now();
        while !is_over(&self.send(&known("GET", path))?) {
            assert!(begun.elapsed() < PATIENCE, "{path} has no end");
            pause(Duration::from_millis(10));
        }
        Some(())
    }

    fn come(&mut self, way: Way) -> Option<()> {
        let source = self.source;
        let url = |path: &str| format!("http://127.0.0.1:{}{path}", source.port);
        let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
        let everywhere = |method: Value| json!({"method": method, "all_stores": true});
        match way {
            Way::Direct => {
                let id = self.stage(&source.qcow2)?;
                self.import(&id, &direct)?;
                self.import(&id, &everywhere(json!({"name": "copy-image"})))
            }
            Way::Compressed => {
                let id = self.stage(&source.compressed)?;
                self.import(&id, &everywhere(json!({"name": "glance-direct"})))
            }
            Way::Wrong => {
                let id = self.stage(b"no disk")?;
                self.import(&id, &direct)
            }
            Way::Web => {
                let id = self.create()?;
                self.import(&id, &everywhere(json!({"name": "web-download", "uri": url("/disk")})))
            }
            Way::Region => {
                let id = self.create()?;
                let method =
                    json!({"name": "glance-download", "glance_region": "Elsewhere", "glance_image_id": REMOTE});
                self.import(&id, &everywhere(method))
            }
            Way::Made(path) => {
                let (disk, container) = if path == "/ova" { ("vmdk", "ova") } else { ("qcow2", "bare") };
                let image = json!({"name": MADE, "disk_format": disk, "container_format": container});
                let input = json!({"import_from": url(path), "import_from_format": "", "image_properties": image});
                let task = self.send(&known("POST", "/v2/tasks").json(&json!({"type": "import", "input": input})))?;
                let path = format!("/v2/tasks/{}", task["id"].as_str()?);
                self.wait(&path, |task| task["status"] == "success" || task["status"] == "failure")
            }
            Way::Told(told) => {
                let data: &[u8] = if matches!(told, Told::WrongDigest) { b"another" } else { &source.plain };
                let digest = json!({"os_hash_algo": "sha512", "os_hash_value": hex::encode(Sha512::digest(data))});
                let (name, validation) = match told {
                    Told::PlaceAlone => (UNREAD, json!({})),
                    Told::Digest | Told::WrongDigest => (TOLD, digest),
                };
                let id = self.create_as(name, "raw")?;
                let place = json!({"url": url("/plain"), "validation_data": validation});
                self.send(&known("POST", &format!("/v2/images/{id}/locations")).json(&place))?;
                self.wait_free(&id)
            }
        }
    }

    /// All of it, beginning somewhere, until the service dies: in which way an image came then.
    fn run(&mut self, first: u64) -> Result<(), Way> {
        let skipped = usize::try_from(first).unwrap() % WAYS.len();
        let mut ways = WAYS.into_iter().cycle().skip(skipped).take(WAYS.len());
        ways.try_for_each(|way| self.come(way).ok_or(way))
    }
}

/// Nothing is stuck, nothing left, and data is what it should be. `what`: what has happened, which may have left an image [`UNREAD`].
/// Gives the number of active images.
#[track_caller]
fn check(server: &Server, disk: &[u8], (what, may_be_unread): (&str, bool)) -> usize {
    let digest = hex::encode(Sha512::digest(disk));
    let images = server.send(&known("GET", "/v2/images?limit=1000")).expect(200).json();
    let mut expected: BTreeMap<&str, Vec<String>> =
        ["fast", "slow", "staging", "tasks"].map(|name| (name, vec![])).into();
    let mut active = 0;
    for image in images["images"].as_array().unwrap() {
        let id = image["id"].as_str().unwrap().to_owned();
        assert_eq!(image.get("os_glance_import_task"), None, "{what}: {image}");
        assert!(
            ["", "null"].contains(&image["os_glance_importing_to_stores"].as_str().unwrap_or("")),
            "{what}: {image}"
        );
        // The other region has another one.
        assert!(image.get("hw_disk_bus").is_none_or(|bus| bus == "virtio"), "{what}: {image}");
        let stores = image["stores"].as_str().unwrap_or_default();
        match image["status"].as_str().unwrap() {
            // An image that a task makes goes with the task. A location in the web stays with one whose data was refused, or was not
            // read to the end; nobody reads there.
            "queued" => {
                assert!(image["name"] != MADE, "{what}: {image}");
                assert!(stores.is_empty() || (stores == "web" && image["name"] == TOLD), "{what}: {image}");
                assert_eq!(server.send(&known("GET", &format!("/v2/images/{id}/file"))).status, 204, "{what}: {image}");
            }
            "uploading" => expected.get_mut("staging").unwrap().push(id.clone()),
            "active" => {
                active += 1;
                let found = (&image["disk_format"], &image["size"]);
                assert_eq!(found, (&json!("raw"), &json!(disk.len())), "{what}: {image}");
                let is_unread = may_be_unread && image["name"] == UNREAD && image["os_hash_value"].is_null();
                assert!(is_unread || image["os_hash_value"] == digest, "{what}: {image}");
                for store in stores.split(',').filter(|store| *store != "web") {
                    let data = fs::read(server.conf.dir.join(store).join(&id)).unwrap();
                    assert!(data == disk, "{what}: {store} has other data");
                    expected.get_mut(store).unwrap().push(id.clone());
                }
            }
            _ => panic!("{what}: {image}"),
        }
    }
    for (folder, mut ids) in expected {
        ids.sort();
        // What is staged is looked at in the background.
        wait_for(&format!("{what}: {folder} has only what it should"), PATIENCE, || {
            (objects(&server.conf, folder) == ids).then_some(())
        });
    }
    let over = |task: &Value| task["status"] == "success" || task["status"] == "failure";
    let tasks = server.send(&known("GET", "/v2/tasks?limit=1000")).expect(200).json();
    assert!(tasks["tasks"].as_array().unwrap().iter().all(over), "{what}: {tasks}");
    for image in images["images"].as_array().unwrap() {
        let path = format!("/v2/images/{}", image["id"].as_str().unwrap());
        server.send(&known("DELETE", &path)).expect(204);
    }
    assert_nothing_left(&server.conf);
    active
}

/// Whether a point is passed by a service that starts, about what a dead one has left.
fn is_of_recovery(point: &str) -> bool {
    point.starts_with("reclaim.")
}

/// Lets the service die at a point when it is passed for the `time`th time, in work that begins with the way `first`. False: it is not
/// passed so often. A point of the recovery is passed for the first time, by a service that starts after it has died in an import.
fn crash(server: &mut Server, source: &Source, (point, time, first): (&str, u64, u64)) -> bool {
    let recovery = is_of_recovery(point);
    let named = if recovery { "import.opened".to_owned() } else { format!("{point}:{time}") };
    server.crash();
    server.start_to_crash_at(&named);
    let Err(way) = (Work { client: server.client(), source }).run(first) else { return false };
    server.wait_crash();
    if recovery {
        server.crash_at_start(point);
    }
    server.start_again();
    // Whoever begins all of it waits for each end, so nothing else can have been broken off.
    let told = format!("{point}:{time} beginning with {first}");
    let may_be_unread = matches!(way, Way::Told(Told::PlaceAlone)) && WHILE_UNREAD.contains(&point);
    check(server, &source.plain, (&told, may_be_unread));
    true
}

#[test]
fn wherever_the_service_dies_nothing_is_stuck_and_nothing_left() {
    let source = Source::new();
    let mut server = Server::with(|conf| source.conf(conf));
    let points = points();
    assert!(
        points.len() >= 25 && WHILE_UNREAD.iter().all(|point| points.iter().any(|known| known == point)),
        "{points:?}"
    );
    let rounds = if is_thorough() { parameter("ROUNDS", ROUNDS) } else { points.len() as u64 };
    let mut dice = fastrand::Rng::with_seed(parameter("SEED", 1));
    // In the end each has had as many rounds as the others, one more or less.
    let turn = dice.usize(..points.len());
    // How often each is passed at most, as far as that has been seen.
    let most_of = |point: &String| if is_thorough() && !is_of_recovery(point) { TIMES } else { 1 };
    let mut most: Vec<u64> = points.iter().map(most_of).collect();
    for round in 0..rounds {
        let which = (turn + usize::try_from(round).unwrap()) % points.len();
        let first = if is_thorough() { dice.u64(..WAYS.len() as u64) } else { round };
        let point = points[which].as_str();
        loop {
            let time = dice.u64(1..=most[which]);
            if crash(&mut server, &source, (point, time, first)) {
                eprintln!("{round}: {point}:{time} beginning with {first}");
                break;
            }
            assert!(time > 1, "{point} is never passed");
            most[which] = time - 1;
            check(&server, &source.plain, NO_CRASH);
        }
    }
    // Without a crash all of it comes to an end.
    Work { client: server.client(), source: &source }.run(0).expect("the service lives");
    assert_eq!(check(&server, &source.plain, NO_CRASH), 8);
}
