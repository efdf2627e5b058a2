//! `delayed_delete`: the image is gone for clients, its data waits for the scrubber, which finds it in the database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Body, Request, Server};
use serde_json::json;

/// What SQLite's own program prints; upstream's scrubber reads the same rows.
fn query(database: &Path, sql: &str) -> String {
    let out = Command::new("sqlite3").arg(database).arg(sql).output().expect("sqlite3: apt-get install sqlite3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn data_waits_for_the_scrubber() {
    let server = Server::with(|conf| conf.set("DEFAULT.delayed_delete", "true"));
    let image = json!({"name": "late", "disk_format": "raw", "container_format": "bare"});
    let id = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json()["id"].clone();
    let id = id.as_str().unwrap();
    let path = format!("/v2/images/{id}");
    let data = Request::new("PUT", &format!("{path}/file")).data(Body::Sized(b"late".to_vec()));
    server.send(&data).expect(204);

    server.send(&Request::new("DELETE", &path)).expect(204);

    server.send(&Request::new("GET", &path)).expect(404);
    let database = server.conf.database();
    let rows = query(
        &database,
        "select i.status, i.deleted, l.status, l.deleted from images i join image_locations l on i.id = l.image_id",
    );
    assert_eq!(rows, "pending_delete|1|pending_delete|1");
    let url = query(&database, "select value from image_locations");
    assert_eq!(std::fs::read(url.strip_prefix("file://").unwrap()).unwrap(), b"late");
}
