//! Images in a real Ceph: laid out as upstream lays them out, safe from crashes, clones and outages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod images;
mod imports;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use common::peers::Ceph;
use common::{Body, Client, Request, Server, http, wait_for};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// One store in the cluster, and locations shown.
fn server(ceph: &Ceph) -> Server {
    Server::with(|conf| conf.ceph(ceph).set("DEFAULT.show_multiple_locations", true))
}

fn create(client: &mut Client) -> String {
    let image = json!({"name": "rbd", "disk_format": "raw", "container_format": "bare"});
    let answer = client.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn show(client: &mut Client, id: &str) -> Value {
    client.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json()
}

fn upload(id: &str, body: Body) -> Request {
    Request::new("PUT", &format!("/v2/images/{id}/file")).data(body)
}

fn download(id: &str) -> Request {
    Request::new("GET", &format!("/v2/images/{id}/file"))
}

fn delete(id: &str) -> Request {
    Request::new("DELETE", &format!("/v2/images/{id}"))
}

/// Bytes without a short period.
fn pattern(size: usize) -> Vec<u8> {
    (0_u64..size as u64).map(|place| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// An active image of these bytes.
fn stored(client: &mut Client, data: &[u8]) -> String {
    let id = create(client);
    client.send(&upload(&id, Body::Sized(data.to_vec()))).expect(204);
    id
}

/// Begins an upload of 64 MiB and sends a part of it, until Ceph has the image.
fn begin_upload(server: &Server, ceph: &Ceph, id: &str, part: usize) -> TcpStream {
    let mut stream = http::connect(server.address).unwrap();
    let head = Request::new("PUT", &format!("/v2/images/{id}/file"))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", &(64 * MIB).to_string())
        .head("localhost");
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; part]).unwrap();
    wait_for("the image is being written", Duration::from_secs(20), || {
        ceph.images().iter().any(|name| name == id).then_some(())
    });
    stream
}

/// The image is as before the failed upload, nothing is left of its data, and the next upload succeeds.
#[track_caller]
fn assert_recovered(server: &Server, ceph: &Ceph, id: &str) {
    let mut client = server.client();
    server.wait_for_recovery("nothing is left, and the image is queued again", Duration::from_secs(60), || {
        let clean = !ceph.images().iter().any(|name| name == id);
        (clean && show(&mut client, id)["status"] == "queued").then_some(())
    });
    client.send(&download(id)).expect(204);
    client.send(&upload(id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert!(client.send(&download(id)).expect(200).body == vec![b'y'; 1000]);
    client.send(&delete(id)).expect(204);
    assert!(!ceph.images().iter().any(|name| name == id));
}
