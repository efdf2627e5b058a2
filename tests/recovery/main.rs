//! What a dead worker leaves is cleaned up, and nothing that belongs to somebody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod commits;
mod intent_log;
mod storage;

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::uploads::{status, upload};
use common::{Body, Conf, Request, Server, wait_for};
use serde_json::json;

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn create(server: &Server, properties: &serde_json::Value) -> String {
    let mut image = json!({"name": "recovered", "disk_format": "raw", "container_format": "bare"});
    image.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) fn shown(server: &Server, id: &str) -> serde_json::Value {
    server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json()
}

/// The folder of the intent log's entries.
pub(crate) fn intent_log(conf: &Conf) -> PathBuf {
    let folders: Vec<PathBuf> =
        fs::read_dir(conf.dir.join("state/uploads")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

pub(crate) fn entries(conf: &Conf) -> Vec<PathBuf> {
    fs::read_dir(intent_log(conf)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn sqlite(database: &Path, sql: &str) -> String {
    let out = Command::new("sqlite3").arg(database).arg(sql).output().expect("sqlite3: apt-get install sqlite3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[track_caller]
pub(crate) fn assert_queued_and_clean(server: &Server, id: &str) {
    wait_for("the image is queued again", Duration::from_secs(20), || (status(server, id) == "queued").then_some(()));
    assert_eq!(fs::read_dir(server.conf.dir.join("images")).unwrap().count(), 0, "data is left");
    server.send(&upload(id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert_eq!(status(server, id), "active");
}
