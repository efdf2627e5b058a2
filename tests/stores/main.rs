//! What became of stored data behind the service's back, on upstream's service and on ours: files of another length, data
//! that cannot be removed, locations that name no store or one that is gone, web servers that change their mind. And the keys
//! of encrypted data, which a key manager has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

#[path = "../common/mod.rs"]
mod common;

mod files;
mod keys;
mod refused;
mod web;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::peers::{Keystone, Upstream};
use common::{Answer, Body, Client, Conf, Request, Server, free_port};
use serde_json::{Value, json};

/// What SQL gives in the database of a service.
#[track_caller]
fn sql(conf: &Conf, text: &str) -> String {
    let out = Command::new("sqlite3").arg(conf.database()).args(["-cmd", ".timeout 5000"]).arg(text).output();
    let out = out.expect("sqlite3: apt-get install sqlite3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// One of the two services.
struct Side {
    name: &'static str,
    conf: Conf,
    client: Client,
    token: String,
    // Ends the service when dropped.
    _service: Box<dyn std::any::Any>,
}

/// Both services, fresh, one after the other through the same steps.
fn on_both_sides(change: impl Fn(Conf) -> Conf, mut steps: impl FnMut(&mut Side)) {
    let folder = tempfile::Builder::new().prefix("glance-stores-").tempdir().unwrap();
    let keystone = Keystone::shared();
    let token = keystone.token("demo@demo");
    let conf = |name: &str| change(Conf::new(&folder.path().join(name), free_port()).keystone(keystone));
    let theirs = Upstream::start(conf("upstream"));
    let (conf_of_theirs, client) = (theirs.conf.clone(), theirs.client());
    let service = Box::new(theirs);
    steps(&mut Side { name: "upstream", conf: conf_of_theirs, client, token: token.clone(), _service: service });
    let ours = Server::start(conf("ours"));
    steps(&mut Side { name: "ours", conf: ours.conf.clone(), client: ours.client(), token, _service: Box::new(ours) });
}

impl Side {
    fn address(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::from(([127, 0, 0, 1], self.conf.port))
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("X-Auth-Token", &self.token)
    }

    #[track_caller]
    fn send(&mut self, method: &str, path: &str) -> Answer {
        let request = self.request(method, path);
        self.client.send(&request)
    }

    /// An image of ten digits; returns its path in the API.
    #[track_caller]
    fn image(&mut self, store: Option<&str>) -> String {
        let image = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
        let create = self.request("POST", "/v2/images").json(&image);
        let made = self.client.send(&create).expect(201).json();
        let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
        let mut upload = self.request("PUT", &format!("{path}/file")).data(Body::Sized(b"0123456789".to_vec()));
        if let Some(store) = store {
            upload = upload.header("x-image-meta-store", store);
        }
        self.client.send(&upload).expect(204);
        path
    }

    fn patch_request(&self, path: &str, change: &Value) -> Request {
        Request::patch(path, change).header("X-Auth-Token", &self.token)
    }

    #[track_caller]
    fn patch(&mut self, path: &str, change: &Value) -> Answer {
        let request = self.patch_request(path, change);
        self.client.send(&request)
    }

    fn sql(&self, text: &str) -> String {
        sql(&self.conf, text)
    }

    /// The file of an image.
    fn file(&self, image: &str) -> PathBuf {
        let id = image.rsplit('/').next().unwrap();
        let url = self.sql(&format!("select value from image_locations where image_id = '{id}' and deleted = 0"));
        PathBuf::from(url.strip_prefix("file://").unwrap())
    }
}

/// The answer without what differs from run to run.
fn plain(answer: &Answer, folder: &Path, image: &str) -> (u16, String) {
    let text = answer.text().replace(&folder.display().to_string(), "<dir>");
    (answer.status, text.replace(image.rsplit('/').next().unwrap(), "<id>"))
}
