//! What goes wrong in the world: crashes, full disks, clients that vanish, dawdle or flood, a Keystone that goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod clients;
mod crashes;
mod keystone;
mod storage;
mod uploads;

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use common::uploads::{begin_upload, status, upload};
use common::{Body, Request, Server, wait_for};
use serde_json::json;

pub(crate) const MIB: usize = 1 << 20;

/// Registers a raw image; returns its id.
pub(crate) fn create(server: &Server) -> String {
    let image = json!({"name": "fault", "disk_format": "raw", "container_format": "bare"});
    let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// All files below the folder, hidden ones too.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

/// The image is as before the failed upload, nothing is left of its data, and the next upload succeeds.
#[track_caller]
pub(crate) fn assert_recovered(server: &Server, id: &str) {
    wait_for("the image is queued again", Duration::from_secs(20), || (status(server, id) == "queued").then_some(()));
    let store = server.conf.dir.join("images");
    wait_for("no data is left", Duration::from_secs(20), || files(&store).is_empty().then_some(()));
    server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(204);
    let shown = server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json();
    assert!(shown["size"].is_null(), "{shown}");
    server.send(&upload(id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert_eq!(status(server, id), "active");
    let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200);
    assert!(data.body == vec![b'y'; 1000]);
    assert_eq!(files(&store).len(), 1);
}
