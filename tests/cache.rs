//! The image cache, in front of a web server that counts how often it is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::disk::SmallDisk;
use common::http::connect;
use common::{Answer, Body, Client, Conf, Request, Server, free_port, pause, wait_for};
use serde_json::json;

/// Set by whoever has hours: many more rounds of what is left to chance.
const THOROUGH: &str = "GLANCE_TEST_THOROUGH";

fn is_thorough() -> bool {
    std::env::var_os(THOROUGH).is_some()
}

/// A web server whose files are made up by their names: `/<seed>-<size>`. It knows no ranges.
struct Origin {
    address: SocketAddr,
    knobs: Arc<Knobs>,
}

#[derive(Default)]
struct Knobs {
    /// Times that data was asked for.
    reads: AtomicUsize,
    /// The last byte is not what it was.
    lies: AtomicBool,
    /// Microseconds between two pieces of 64 KiB.
    pause: AtomicU64,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let knobs = Arc::new(Knobs::default());
        let shared = Arc::clone(&knobs);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let knobs = Arc::clone(&shared);
                std::thread::spawn(move || answer(connection, &knobs));
            }
        });
        Self { address, knobs }
    }

    fn reads(&self) -> usize {
        self.knobs.reads.load(Ordering::SeqCst)
    }

    fn slow_down(&self, time: Duration) {
        self.knobs.pause.store(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

/// Who wants no more of it may go.
fn answer(mut connection: TcpStream, knobs: &Knobs) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let (mut first, mut line) = (String::new(), String::new());
    reader.read_line(&mut first).ok()?;
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let (method, rest) = first.split_once(' ')?;
    let (seed, size) = rest.strip_prefix('/')?.split(' ').next()?.split_once('-')?;
    let mut data = pattern(seed.parse().ok()?, size.parse().ok()?);
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", data.len());
    connection.write_all(head.as_bytes()).ok()?;
    if method == "HEAD" {
        return None;
    }
    knobs.reads.fetch_add(1, Ordering::SeqCst);
    if knobs.lies.load(Ordering::SeqCst) {
        *data.last_mut()? ^= 1;
    }
    for piece in data.chunks(64 * 1024) {
        connection.write_all(piece).ok()?;
        pause(Duration::from_micros(knobs.pause.load(Ordering::SeqCst)));
    }
    Some(())
}

fn pattern(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut data = Vec::with_capacity(size + 8);
    while data.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&state.to_be_bytes());
    }
    data.truncate(size);
    data
}

/// An image at the origin.
#[derive(Clone)]
struct Image {
    id: String,
    data: Arc<Vec<u8>>,
}

impl Image {
    fn request(&self) -> Request {
        Request::new("GET", &format!("/v2/images/{}/file", self.id))
    }
}

/// One or more servers, as workers are: one database, one directory of the cache.
struct Cloud {
    origin: Origin,
    servers: Vec<Server>,
    // Removed last.
    folder: tempfile::TempDir,
}

impl Cloud {
    fn start(workers: usize, change: impl Fn(Conf) -> Conf) -> Self {
        let folder = tempfile::Builder::new().prefix("glance-cache-").tempdir().unwrap();
        let origin = Origin::start();
        let start = |number: usize| {
            let shared = |name: &str| folder.path().join(name).display().to_string();
            let own = folder.path().join(format!("worker{number}"));
            fs::create_dir_all(&own).unwrap();
            let conf = Conf::new(&own, free_port())
                .set("paste_deploy.flavor", "caching")
                .set("DEFAULT.image_cache_dir", shared("cache"))
                .set("DEFAULT.image_cache_driver", "sqlite")
                .set("DEFAULT.worker_self_reference_url", "http://this-node:9292")
                .set("DEFAULT.show_multiple_locations", true)
                .set("database.connection", format!("sqlite:///{}", shared("glance.db")))
                .set("glance_store.stores", "file,http")
                .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
                .set("import_filtering_opts.allowed_ports", format!("[{}]", origin.address.port()));
            Server::start(change(conf))
        };
        let servers = (0..workers).map(start).collect();
        Self { origin, servers, folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Registers an image of this size, with its hash.
    fn image(&self, seed: u64, size: usize) -> Image {
        let data = pattern(seed, size);
        let server = &self.servers[0];
        let create = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
        let made = server.send(&Request::new("POST", "/v2/images").json(&create)).expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let url = format!("http://{}/{seed}-{size}", self.origin.address);
        let validation = json!({"os_hash_algo": "sha512", "os_hash_value": digest("sha512sum", &data), "checksum": digest("md5sum", &data)});
        let location = json!({"url": url, "metadata": {}, "validation_data": validation});
        let change = json!([{"op": "add", "path": "/locations/-", "value": location}]);
        let mut patch = Request::new("PATCH", &format!("/v2/images/{id}"))
            .header("Content-Type", "application/openstack-images-v2.1-json-patch");
        patch.body = Body::Sized(change.to_string().into_bytes());
        server.send(&patch).expect(200);
        Image { id, data: Arc::new(data) }
    }

    /// Downloads it whole and compares it.
    #[track_caller]
    fn read(&self, worker: usize, image: &Image) -> Answer {
        let answer = self.servers[worker].send(&image.request()).expect(200);
        assert!(answer.body == *image.data, "{} wrong bytes", image.id);
        answer
    }

    /// Every file of the cache is one of these images, byte for byte; how many there are.
    #[track_caller]
    fn check_files(&self, images: &[Image]) -> usize {
        let mut found = 0;
        for entry in fs::read_dir(self.cache()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let name = entry.file_name().into_string().unwrap();
            let Some(image) = images.iter().find(|image| image.id == name) else { continue };
            assert!(fs::read(entry.path()).unwrap() == *image.data, "{name} is not what it should be");
            found += 1;
        }
        found
    }

    fn is_cached(&self, image: &Image) -> bool {
        self.cache().join(&image.id).try_exists().unwrap()
    }

    fn files(&self, folder: &str) -> usize {
        fs::read_dir(self.cache().join(folder)).unwrap().count()
    }
}

/// The digest that a program of coreutils computes.
fn digest(program: &str, data: &[u8]) -> String {
    let mut child =
        Command::new(program).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(data).unwrap());
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        said.split(' ').next().unwrap().to_owned()
    })
}

#[test]
fn an_image_that_was_read_once_needs_its_store_no_more() {
    for driver in ["sqlite", "xattr", "centralized_db"] {
        let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_driver", driver));
        let image = cloud.image(1, 300_000);
        for round in 0..3 {
            let answer = cloud.read(0, &image);
            assert_eq!(answer.header("content-length"), Some("300000"), "{driver}, {round}");
            assert_eq!(answer.header("content-md5").unwrap().len(), 32);
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        }
        assert_eq!(cloud.origin.reads(), 1, "{driver}");
        // Upstream's cache answers before anybody has looked at the query.
        let prefers = Request { target: format!("{}?prefer=nowhere", image.request().target), ..image.request() };
        assert_eq!(cloud.servers[0].send(&prefers).status, 200);
        // Parts come from it though the store has none to give.
        let part = cloud.servers[0].send(&image.request().header("Range", "bytes=100-199")).expect(206);
        assert!(part.body == image.data[100..200]);
        assert_eq!(part.header("content-range"), Some("bytes 100-199/300000"));
        cloud.servers[0].send(&image.request().header("Range", "bytes=300000-")).expect(416);
        let etag = part.header("etag").unwrap();
        assert_eq!(
            cloud.servers[0].send(&image.request().header("If-None-Match", etag)).expect(304).header("etag"),
            Some(etag)
        );
        let of = |tag| image.request().header("Range", "bytes=100-199").header("If-Range", tag);
        assert_eq!(cloud.servers[0].send(&of(etag)).status, 206);
        assert_eq!(cloud.servers[0].send(&of("\"another\"")).expect(200).body.len(), 300_000);
        assert_eq!(cloud.origin.reads(), 1, "{driver}");
        // A file of another size is not the image.
        let file = cloud.cache().join(&image.id);
        File::cut(&file);
        cloud.read(0, &image);
        assert_eq!(cloud.origin.reads(), 2, "{driver}");
        assert_eq!((cloud.check_files(std::slice::from_ref(&image)), cloud.files("invalid")), (1, 1));
        // Nor is one that is older than the image: ids can be used again.
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        cloud.read(0, &image);
        assert_eq!(cloud.origin.reads(), 3, "{driver}");
        // An image that is deactivated or deleted is none of the cache's.
        let path = format!("/v2/images/{}", image.id);
        cloud.servers[0].send(&Request::new("POST", &format!("{path}/actions/deactivate"))).expect(204);
        cloud.read(0, &image);
        assert_eq!(cloud.origin.reads(), 4, "{driver}");
        cloud.servers[0].send(&Request::new("DELETE", &path)).expect(204);
        assert!(!cloud.is_cached(&image));
        cloud.servers[0].send(&image.request()).expect(404);
    }
}

struct File;

impl File {
    /// Takes the last byte away.
    fn cut(path: &Path) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }
}

#[test]
fn a_store_is_read_once_however_many_ask_and_wherever() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(2, 6_000_000);
    cloud.origin.slow_down(Duration::from_millis(5));
    let start = Instant::now();
    std::thread::scope(|scope| {
        // The first one's client leaves soon.
        let address = cloud.servers[0].address;
        let mut first = connect(address).unwrap();
        first.write_all(&image.request().head("host")).unwrap();
        first.read_exact(&mut [0; 1000]).unwrap();
        for number in 0..24 {
            let (cloud, image) = (&cloud, &image);
            scope.spawn(move || {
                pause(Duration::from_millis(number * 10));
                cloud.read(usize::from(number % 2 == 0), image);
            });
        }
        pause(Duration::from_millis(150));
        drop(first);
    });
    assert_eq!(cloud.origin.reads(), 1, "after {:?}", start.elapsed());
    assert!(cloud.is_cached(&image));
    assert_eq!((cloud.files("incomplete"), cloud.files("invalid")), (0, 0));
}

#[test]
fn a_fill_that_nobody_reads_is_given_up_unless_told_otherwise() {
    for completes in [false, true] {
        let cloud = Cloud::start(1, |conf| conf.set("service.image_cache_complete_fills", completes));
        let image = cloud.image(3, 3_000_000);
        cloud.origin.slow_down(Duration::from_millis(10));
        let mut client = connect(cloud.servers[0].address).unwrap();
        client.write_all(&image.request().head("host")).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        drop(client);
        if completes {
            wait_for("the image is cached", Duration::from_secs(20), || cloud.is_cached(&image).then_some(()));
        } else {
            wait_for("the fill ends", Duration::from_secs(20), || (cloud.files("incomplete") == 0).then_some(()));
            assert!(!cloud.is_cached(&image));
        }
        cloud.read(0, &image);
        assert_eq!(cloud.origin.reads(), if completes { 1 } else { 2 });
    }
}

#[test]
fn wrong_data_never_seems_whole() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(4, 2_000_000);
    cloud.origin.slow_down(Duration::from_millis(10));
    cloud.origin.knobs.lies.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for worker in [0, 1, 0, 1] {
            let (cloud, image) = (&cloud, &image);
            scope.spawn(move || {
                let answer = Client::new(cloud.servers[worker].address).try_send(&image.request());
                assert!(answer.is_err(), "a whole answer of status {}", answer.unwrap().status);
            });
        }
    });
    assert!(!cloud.is_cached(&image));
    assert_eq!(cloud.files("incomplete"), 0);
    assert!(cloud.files("invalid") == 1, "who wants to know what came finds it there");
    cloud.origin.knobs.lies.store(false, Ordering::SeqCst);
    cloud.read(0, &image);
    assert!(cloud.is_cached(&image));
}

#[test]
fn a_part_of_what_has_no_parts_brings_the_whole_when_that_is_small() {
    let cloud = Cloud::start(1, |conf| conf.set("service.image_cache_range_fill_limit", 1_000_000));
    let (small, large) = (cloud.image(5, 500_000), cloud.image(6, 1_500_000));
    let part = |image: &Image| cloud.servers[0].send(&image.request().header("Range", "bytes=1000-1999"));
    assert!(part(&small).expect(206).body == small.data[1000..2000]);
    wait_for("the image is cached", Duration::from_secs(10), || cloud.is_cached(&small).then_some(()));
    assert!(part(&small).expect(206).body == small.data[1000..2000]);
    assert_eq!(cloud.origin.reads(), 1);
    // As without a cache.
    assert!(part(&large).expect(400).text().contains("Getting images randomly from this store is not supported."));
    assert!(!cloud.is_cached(&large));
    cloud.read(0, &large);
    assert!(part(&large).expect(206).body == large.data[1000..2000]);
}

#[test]
fn the_limit_holds_and_what_does_not_fit_passes_by() {
    let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_max_size", 1_000_000));
    let images: Vec<Image> = (0..5).map(|seed| cloud.image(10 + seed, 400_000)).collect();
    for image in &images {
        cloud.read(0, image);
        let size: u64 = fs::read_dir(cloud.cache())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().len() == 36)
            .map(|entry| entry.metadata().unwrap().len())
            .sum();
        assert!(size <= 1_000_000, "{size} bytes");
    }
    assert_eq!(cloud.check_files(&images), 2);
    assert!(cloud.is_cached(&images[3]) && cloud.is_cached(&images[4]), "the last ones stay");
    let huge = cloud.image(20, 1_100_000);
    cloud.read(0, &huge);
    assert!(!cloud.is_cached(&huge) && cloud.is_cached(&images[4]));
}

#[test]
fn stores_can_be_left_out_and_a_bad_disk_hinders_nobody() {
    let cloud = Cloud::start(1, |conf| conf.set("service.image_cache_skip_stores", "http"));
    let image = cloud.image(30, 100_000);
    cloud.read(0, &image);
    cloud.read(0, &image);
    assert_eq!((cloud.origin.reads(), cloud.is_cached(&image)), (2, false));

    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::on(folder.path().join("disk"), 2_000_000);
    let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_dir", folder.path().join("disk").display()));
    let (small, large) = (cloud.image(31, 100_000), cloud.image(32, 4_000_000));
    for _ in 0..2 {
        cloud.read(0, &large);
        cloud.read(0, &small);
    }
    assert_eq!(cloud.origin.reads(), 3);
    let count = |text: &str| cloud.servers[0].log_with(text).matches(text).count();
    assert_eq!(count("the image cache cannot be used; images come from"), 1);
    // Something else has the name of an image.
    fs::create_dir(folder.path().join("disk").join(&large.id)).unwrap();
    cloud.read(0, &large);
    cloud.read(0, &large);
    assert_eq!(count("the file of a cached image cannot be used"), 1);
    drop(disk);
}

#[test]
fn after_a_crash_nothing_half_is_served() {
    let rounds = if is_thorough() { 300 } else { 4 };
    let mut cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_max_size", 5_000_000));
    let images: Vec<Image> = (0..4).map(|seed| cloud.image(40 + seed, 2_000_000)).collect();
    cloud.origin.slow_down(Duration::from_millis(2));
    for round in 0..rounds {
        let address = cloud.servers[0].address;
        let readers: Vec<_> = images
            .iter()
            .cloned()
            .map(|image| {
                std::thread::spawn(move || {
                    // It ends with the server at the latest; what came whole must be right.
                    if let Ok(answer) = Client::new(address).try_send(&image.request()) {
                        assert!(answer.body == *image.data, "wrong bytes");
                    }
                })
            })
            .collect();
        pause(Duration::from_millis(20 + (round * 37) % 120));
        cloud.servers[0].crash();
        for reader in readers {
            reader.join().unwrap();
        }
        cloud.check_files(&images);
        cloud.servers[0].start_again();
        let image = &images[usize::try_from(round).unwrap() % images.len()];
        cloud.read(0, image);
        assert!(cloud.is_cached(image), "round {round}");
    }
}

#[test]
fn many_workers_do_everything_at_once_in_one_directory() {
    let time = if is_thorough() { Duration::from_secs(120) } else { Duration::from_secs(2) };
    let workers = if is_thorough() { 4 } else { 2 };
    let cloud = Cloud::start(workers, |conf| conf.set("DEFAULT.image_cache_max_size", 2_000_000));
    let images: Vec<Image> = (0..6).map(|seed| cloud.image(50 + seed, 600_000)).collect();
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        for number in 0..workers * 2 {
            let (cloud, images) = (&cloud, &images);
            scope.spawn(move || {
                let mut state = number as u64 + 1;
                while Instant::now() < end {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let image = &images[usize::try_from(state >> 33).unwrap() % images.len()];
                    if (state >> 20).is_multiple_of(10) {
                        let _ = fs::remove_file(cloud.cache().join(&image.id));
                    } else {
                        cloud.read(number % workers, image);
                    }
                }
            });
        }
    });
    cloud.check_files(&images);
    assert_eq!((cloud.files("incomplete"), cloud.files("invalid")), (0, 0));
    for server in &cloud.servers {
        let held = || {
            fs::read_dir(format!("/proc/{}/fd", server.pid()))
                .unwrap()
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .filter(|target| images.iter().any(|image| target.to_string_lossy().contains(&image.id)))
                .count()
        };
        wait_for("no file of the cache is open", Duration::from_secs(10), || (held() == 0).then_some(()));
    }
}
