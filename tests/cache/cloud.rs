//! A cloud of one or more workers with one cache.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::common::http::connect;
use crate::common::{Answer, Conf, Request, Server, free_port, wait_for};
use crate::origin::{Origin, pattern};

/// An image at the origin.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) data: Arc<Vec<u8>>,
}

impl Image {
    pub(crate) fn request(&self) -> Request {
        Request::new("GET", &format!("/v2/images/{}/file", self.id))
    }
}

/// One or more servers, as workers are: one database, one directory of the cache.
pub(crate) struct Cloud {
    pub(crate) origin: Origin,
    pub(crate) servers: Vec<Server>,
    cache: PathBuf,
    // Removed last.
    _folder: tempfile::TempDir,
}

impl Cloud {
    pub(crate) fn start(workers: usize, change: impl Fn(Conf) -> Conf) -> Self {
        Self::start_on(None, workers, change)
    }

    /// With the cache in this directory.
    pub(crate) fn start_on(cache: Option<&Path>, workers: usize, change: impl Fn(Conf) -> Conf) -> Self {
        let folder = tempfile::Builder::new().prefix("glance-cache-").tempdir().unwrap();
        let cache = cache.map_or_else(|| folder.path().join("cache"), Path::to_owned);
        let origin = Origin::start();
        let start = |number: usize| {
            let shared = |name: &str| folder.path().join(name).display().to_string();
            let own = folder.path().join(format!("worker{number}"));
            fs::create_dir_all(&own).unwrap();
            let conf = Conf::new(&own, free_port())
                .set("paste_deploy.flavor", "caching")
                .set("DEFAULT.image_cache_dir", cache.display())
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
        Self { origin, servers, cache, _folder: folder }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.cache.clone()
    }

    /// Registers an image of this size, with its hash.
    pub(crate) fn image(&self, seed: u64, size: usize) -> Image {
        let data = pattern(seed, size);
        let server = &self.servers[0];
        let create = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
        let made = server.send(&Request::new("POST", "/v2/images").json(&create)).expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let url = format!("http://{}/{seed}-{size}", self.origin.address);
        let validation = json!({"os_hash_algo": "sha512", "os_hash_value": digest("sha512sum", &data), "checksum": digest("md5sum", &data)});
        let location = json!({"url": url, "metadata": {}, "validation_data": validation});
        let change = json!([{"op": "add", "path": "/locations/-", "value": location}]);
        server.send(&Request::patch(&format!("/v2/images/{id}"), &change)).expect(200);
        Image { id, data: Arc::new(data) }
    }

    /// Downloads it whole and compares it.
    #[track_caller]
    pub(crate) fn read(&self, worker: usize, image: &Image) -> Answer {
        let answer = self.servers[worker].send(&image.request()).expect(200);
        assert!(answer.body == *image.data, "{} wrong bytes", image.id);
        answer
    }

    /// Every file of the cache is one of these images, byte for byte; how many there are.
    #[track_caller]
    pub(crate) fn check_files(&self, images: &[Image]) -> usize {
        let mut found = 0;
        for entry in fs::read_dir(self.cache()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let name = entry.file_name().into_string().unwrap();
            let Some(image) = images.iter().find(|image| image.id == name) else { continue };
            assert!(fs::read(entry.path()).unwrap() == *image.data, "{name} is not what it should be");
            found += 1;
        }
        found
    }

    /// Waits until it is in the cache: its readers do not wait until it is durable.
    #[track_caller]
    pub(crate) fn wait_cached(&self, image: &Image) {
        wait_for("the image is cached", Duration::from_secs(60), || self.is_cached(image).then_some(()));
    }

    /// Waits until nothing is on its way into the cache any more, and nobody reads from it.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let is_open = || self.servers.iter().any(|server| self.has_open(server));
        wait_for("all fills end", Duration::from_secs(60), || {
            (self.files("incomplete") == 0 && !is_open()).then_some(())
        });
    }

    /// Whether a server has a file open that is or was an image of the cache.
    fn has_open(&self, server: &Server) -> bool {
        let cache = self.cache();
        let is_image = |target: PathBuf| {
            let name = target.file_name().unwrap_or_default().to_string_lossy();
            target.starts_with(&cache) && name.trim_end_matches(" (deleted)").len() == 36
        };
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", server.pid())) else { return false };
        open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(is_image)
    }

    pub(crate) fn is_cached(&self, image: &Image) -> bool {
        self.cache().join(&image.id).try_exists().unwrap()
    }

    pub(crate) fn files(&self, folder: &str) -> usize {
        fs::read_dir(self.cache().join(folder)).unwrap().count()
    }
}

/// A client that reads as much as it is told, and goes away when dropped.
pub(crate) struct Reader(TcpStream);

impl Reader {
    /// Asks for an image and waits for the first bytes of the answer.
    pub(crate) fn start(server: &Server, image: &Image) -> Self {
        let mut asked = Self::ask(server, image);
        asked.read(12);
        asked
    }

    /// Asks for an image.
    pub(crate) fn ask(server: &Server, image: &Image) -> Self {
        let mut stream = connect(server.address).unwrap();
        stream.write_all(&image.request().header("Connection", "close").head("host")).unwrap();
        Self(stream)
    }

    /// The same, which waits longer for each byte.
    pub(crate) fn patient(self, time: Duration) -> Self {
        self.0.set_read_timeout(Some(time)).unwrap();
        self
    }

    /// Reads this many bytes more.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.0.read_exact(&mut vec![0; bytes]).unwrap();
    }

    /// Reads until the connection ends, however it does; how many bytes came.
    pub(crate) fn read_to_end(mut self) -> usize {
        let mut rest = Vec::new();
        // A connection that is cut off may be reset.
        let _ = self.0.read_to_end(&mut rest);
        rest.len()
    }

    /// Reads to the end, and compares the end with that of the image.
    #[track_caller]
    pub(crate) fn finish(mut self, image: &Image) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        let compared = rest.len().min(image.data.len());
        assert!(compared > image.data.len() / 2, "only {compared} bytes came");
        assert!(rest[rest.len() - compared..] == image.data[image.data.len() - compared..], "wrong bytes");
    }
}

/// The digest that a program of coreutils computes.
pub(crate) fn digest(program: &str, data: &[u8]) -> String {
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
