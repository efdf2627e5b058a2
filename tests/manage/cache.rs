//! The tools of the image cache beside upstream's: on one service, and on one directory.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Body, Conf, Request, Server, free_port, wait_for};
use crate::harness::{Said, Upstream, said};

const ABSENT: &str = "0a0a0a0a-0000-4000-8000-00000000000a";

/// A service with cache management, and its cache.
struct Bed {
    server: Server,
    cache: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bed {
    fn start() -> Self {
        Self::with_driver("sqlite")
    }

    fn with_driver(driver: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let conf = Conf::new(folder.path(), free_port())
            .set("paste_deploy.flavor", "cachemanagement")
            .set("DEFAULT.image_cache_dir", cache.display())
            .set("DEFAULT.image_cache_driver", driver)
            .set("DEFAULT.image_cache_max_size", 1 << 30);
        Self { server: Server::start(conf), cache, _folder: folder }
    }

    /// The file of a configuration in which everything in the cache is too much.
    fn conf_without_room(&self) -> String {
        let folder = self.cache.parent().unwrap();
        let text = std::fs::read_to_string(self.server.conf.path()).unwrap();
        let path = folder.join("no-room.conf");
        let changed = text.replace(&format!("image_cache_max_size = {}", 1 << 30), "image_cache_max_size = 0");
        assert_ne!(changed, text);
        std::fs::write(&path, changed).unwrap();
        path.display().to_string()
    }

    fn conf_file(&self) -> String {
        self.server.conf.path().display().to_string()
    }

    fn image(&self, data: &str) -> String {
        let document = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
        let made = self.server.send(&Request::new("POST", "/v2/images").json(&document)).expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let data = Body::Sized(data.as_bytes().to_vec());
        let upload = Request::new("PUT", &format!("/v2/images/{id}/file")).data(data);
        self.server.send(&upload).expect(204);
        id
    }

    fn state(&self) -> Value {
        self.server.send(&Request::new("GET", "/v2/cache")).expect(200).json()
    }

    fn cached(&self) -> Vec<String> {
        let state = self.state();
        let images = state["cached_images"].as_array().unwrap();
        images.iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect()
    }

    fn data(&self, id: &str) -> String {
        self.server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200).text()
    }
}

fn ours(program: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glance-cache-manage"));
    command.arg0(program).args(arguments).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OS_")) {
        command.env_remove(name);
    }
    said(&command.output().unwrap())
}

#[test]
fn both_tools_say_the_same_of_one_service() {
    let (bed, mut upstream) = (Bed::start(), Upstream::start());
    let port = bed.server.conf.port.to_string();
    let mut same = |arguments: &[&str]| {
        // With a token upstream's tool does not ask Keystone.
        let service = ["--os-auth-token", "any", "-H", "127.0.0.1", "-p", &port];
        let all: Vec<&str> = arguments.iter().copied().chain(service).collect();
        let (ours, theirs) = (ours("glance-cache-manage", &all), upstream.run_program("glance-cache-manage", &all));
        assert_eq!((ours.status, &ours.stdout), (theirs.status, &theirs.stdout), "{arguments:?}\n{ours:?}\n{theirs:?}");
        assert_eq!(ours.stderr, theirs.stderr, "{arguments:?}");
        (ours.status, ours.stdout)
    };
    for (line, status) in [
        ("list-cached", 0),
        ("list-queued", 0),
        ("queue-image <id> -f", 0),
        ("list-queued", 0),
        ("delete-queued-image <id> -f", 0),
        ("delete-cached-image <id>", 1),
        ("delete-cached-image x -f", 1),
        ("queue-image -f", 1),
        ("delete-queued-image <id> <id> -f", 1),
        ("delete-all-cached-images", 1),
        ("delete-all-queued-images -f", 0),
        ("help queue-image", 0),
        ("nonsense", 1),
    ] {
        let line = line.replace("<id>", ABSENT);
        assert_eq!(same(&line.split_whitespace().collect::<Vec<_>>()).0, status, "{line}");
    }
    let id = bed.image("hello");
    bed.server.send(&Request::new("PUT", &format!("/v2/cache/{id}"))).expect(202);
    wait_for("the image in the cache", Duration::from_secs(20), || (bed.cached() == [id.clone()]).then_some(()));
    assert_eq!(bed.data(&id), "hello");
    assert!(same(&["list-cached"]).1.contains(&id));

    let verbose = ours("glance-cache-manage", &["-v", "-f", "-p", &port, "delete-all-cached-images"]);
    assert!(verbose.stdout.starts_with("Deleted 1 cached images\nCompleted in 0."), "{verbose:?}");
    assert_eq!(bed.cached(), Vec::<String>::new());
    // Another service, or none.
    let plain = Server::simple();
    let without = ours("glance-cache-manage", &["list-cached", "-p", &plain.conf.port.to_string()]);
    assert_eq!(
        (without.status, without.stdout.as_str()),
        (1, "Cache management middleware not enabled on host 0.0.0.0\n")
    );
    let nobody = ours("glance-cache-manage", &["list-cached", "-p", &free_port().to_string()]);
    assert!(
        nobody.stdout.starts_with("Failed to show cached images. Got error:\n") && nobody.status == 1,
        "{nobody:?}"
    );
}

#[test]
fn both_work_on_one_directory() {
    let mut upstream = Upstream::start();
    for driver in ["sqlite", "xattr"] {
        work_on_one_directory(driver, &mut upstream);
    }
}

fn work_on_one_directory(driver: &str, upstream: &mut Upstream) {
    let bed = Bed::with_driver(driver);
    let (conf, without_room) = (bed.conf_file(), bed.conf_without_room());
    let id = bed.image("hello");
    let done = |done: Said| assert_eq!(done.status, 0, "{done:?}");
    let queue = || drop(bed.server.send(&Request::new("PUT", &format!("/v2/queued_images/{id}"))).expect(200));
    let hits = || bed.state()["cached_images"][0]["hits"].clone();

    // What upstream's tool fetches, the service serves and counts, and our tool removes.
    queue();
    done(upstream.run_program("glance-cache-prefetcher", &["--config-file", &conf]));
    assert_eq!(bed.state()["queued_images"], json!([]));
    assert_eq!(bed.cached(), std::slice::from_ref(&id));
    assert_eq!(std::fs::read_to_string(bed.cache.join(&id)).unwrap(), "hello");
    assert_eq!(bed.data(&id), "hello");
    assert_eq!(hits(), json!(1));
    done(ours("glance-cache-pruner", &["--config-file", &conf]));
    assert_eq!(bed.cached(), std::slice::from_ref(&id));
    done(ours("glance-cache-pruner", &["--config-file", &without_room]));
    assert_eq!(bed.cached(), Vec::<String>::new());

    // And the other way round.
    queue();
    done(ours("glance-cache-prefetcher", &["--config-file", &conf]));
    assert_eq!(bed.cached(), std::slice::from_ref(&id));
    assert_eq!(bed.state()["queued_images"], json!([]));
    done(upstream.run_program("glance-cache-pruner", &["--config-file", &without_room]));
    assert_eq!(bed.cached(), Vec::<String>::new());
    assert!(!bed.cache.join(&id).try_exists().unwrap());

    for tool in ["ours", "theirs"] {
        let invalid = bed.cache.join("invalid").join(ABSENT);
        std::fs::write(&invalid, "wrong").unwrap();
        match tool {
            "ours" => done(ours("glance-cache-cleaner", &["--config-file", &conf])),
            _ => done(upstream.run_program("glance-cache-cleaner", &["--config-file", &conf])),
        }
        assert!(!invalid.try_exists().unwrap(), "{tool}");
    }

    // What is not there is said, is no failure of the tool, and leaves the queue: nobody will ever bring it.
    let absent = Request::new("PUT", &format!("/v2/queued_images/{ABSENT}"));
    bed.server.send(&absent).expect(200);
    let missed = ours("glance-cache-prefetcher", &["--config-file", &conf]);
    assert!(missed.status == 0 && missed.stderr.contains(&format!("Image '{ABSENT}' not found")), "{missed:?}");
    assert_eq!(bed.state()["queued_images"], json!([]));
}

/// Reads an image from a cache with upstream's driver, and what that then says of all images: id and hits.
fn read_by_upstream(conf: &str, id: &str) -> String {
    const SCRIPT: &str = "
import sys
from glance.common import config
from glance import image_cache
config.parse_cache_args(['--config-file', sys.argv[1]])
cache = image_cache.ImageCache()
with cache.open_for_read(sys.argv[2]) as data:
    print(data.read().decode())
for image in cache.get_cached_images():
    print(image['image_id'], image['hits'])
";
    let python = std::env::var_os("GLANCE_TEST_GLANCE_PYTHON").expect("upstream's Python");
    let done = Command::new(python).args(["-c", SCRIPT, conf, id]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A directory is taken over with its counters, and given back with them.
#[test]
fn counters_pass_from_one_to_the_other() {
    let bed = Bed::start();
    let (conf, id) = (bed.conf_file(), bed.image("hello"));
    bed.server.send(&Request::new("PUT", &format!("/v2/cache/{id}"))).expect(202);
    wait_for("the image in the cache", Duration::from_secs(20), || (bed.cached() == [id.clone()]).then_some(()));
    assert_eq!(read_by_upstream(&conf, &id), format!("hello\n{id} 1\n"));
    assert_eq!(bed.data(&id), "hello");
    assert_eq!(bed.state()["cached_images"][0]["hits"], json!(2));
    assert_eq!(read_by_upstream(&conf, &id), format!("hello\n{id} 3\n"));
    assert_eq!(bed.state()["cached_images"][0]["hits"], json!(3));
}

#[test]
fn counters_of_all_workers_are_shown() {
    let bed = Bed::start();
    let id = bed.image("hello");
    // The first fills the cache.
    assert_eq!(bed.data(&id), "hello");
    wait_for("the image in the cache", Duration::from_secs(20), || (bed.cached() == [id.clone()]).then_some(()));
    assert_eq!(bed.data(&id), "hello");
    let show = || ours("glance-cache-manage", &["--stats", "--config-file", &bed.conf_file()]);
    let hit = |line: &str| line.contains(" Hits ") && line.ends_with(" 1 |");
    wait_for("the counters", Duration::from_secs(40), || show().stdout.lines().any(hit).then_some(()));
    let shown = show();
    let number = |name: &str| {
        let line = shown.stdout.lines().find(|line| line.split('|').nth(1).is_some_and(|cell| cell.trim() == name));
        let cell = line.and_then(|line| line.split('|').nth(2)).unwrap_or_else(|| panic!("{name}: {shown:?}"));
        cell.trim().parse::<u64>().unwrap()
    };
    assert_eq!(["Hits", "Misses", "Fills", "Failed fills", "Bytes filled"].map(number), [1, 1, 1, 0, 5], "{shown:?}");
    assert_eq!((shown.status, shown.stderr.as_str()), (0, ""));

    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.conf");
    std::fs::write(&empty, "[database]\nconnection = sqlite://\n").unwrap();
    for (program, option) in [("glance-cache-manage", Some("--stats")), ("glance-cache-pruner", None)] {
        let path = empty.display().to_string();
        let arguments: Vec<&str> = option.into_iter().chain(["--config-file", &path]).collect();
        let refused = ours(program, &arguments);
        assert!(refused.status == 1 && refused.stderr.contains("image_cache_dir is not set"), "{refused:?}");
    }
}
