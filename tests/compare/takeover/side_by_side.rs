//! Upstream's service and ours on one database and the same stores, as while a cloud moves over host by host. Each has a staging area of
//! its own.

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use super::cloud::Cloud;
use crate::common::balancer::{Balancer, Host};
use crate::common::{Answer, Body, Client, Request};
use crate::run::token_of;

/// Upstream's service answers 500 when two of its requests write to one file of SQLite at the same time.
const CLIENTS_OF_SQLITE: usize = 1;
const CLIENTS: usize = 4;
const ROUNDS: usize = 4;

/// Somebody whose requests go to one service and to the other in turn.
pub(super) struct Caller {
    who: &'static str,
    both: [Client; 2],
    next: usize,
}

impl Caller {
    pub(super) fn new(addresses: [SocketAddr; 2], first: usize) -> Self {
        Self { who: "demo", both: addresses.map(Client::new), next: first }
    }

    /// The same as another user.
    pub(super) fn of(self, who: &'static str) -> Self {
        Self { who, ..self }
    }

    pub(super) fn send(&mut self, request: Request) -> Answer {
        self.next += 1;
        let request = request.header("X-Auth-Token", token_of(self.who).unwrap());
        let answer = self.both[self.next % 2].send(&request);
        let who = self.next % 2;
        assert!(answer.status < 500, "{who} {} {}: {}", request.method, request.target, answer.text());
        answer
    }

    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.send(Request::new("GET", path))
    }

    pub(super) fn create(&mut self, name: &str) -> String {
        let image = json!({"name": name, "disk_format": "raw", "container_format": "bare", "tags": ["first"]});
        let made = self.send(Request::new("POST", "/v2/images").json(&image)).expect(201);
        format!("/v2/images/{}", made.json()["id"].as_str().unwrap())
    }

    fn patch(&mut self, path: &str, change: &Value) {
        self.send(Request::patch(path, change)).expect(200);
    }
}

pub(super) fn upload(path: &str, data: &[u8]) -> Request {
    Request::new("PUT", &format!("{path}/file")).data(Body::Sized(data.to_vec()))
}

pub(super) fn exercise(cloud: &Cloud) {
    let folder = tempfile::tempdir().unwrap();
    let staging = folder.path().join("staging");
    let ours = cloud.another_host(folder.path(), |conf| {
        let url = format!("http://127.0.0.1:{}", conf.port);
        let conf = conf.set("DEFAULT.worker_self_reference_url", url);
        conf.set("os_glance_staging_store.filesystem_store_datadir", staging.display())
    });
    let addresses = [SocketAddr::from(([127, 0, 0, 1], cloud.conf.port)), ours.address];
    let crowd = Caller::new(addresses, 0).create("crowd");
    let clients = if cloud.has_server() { CLIENTS } else { CLIENTS_OF_SQLITE };
    thread::scope(|scope| {
        for number in 0..clients {
            let crowd = &crowd;
            scope.spawn(move || {
                let mut caller = Caller::new(addresses, number);
                for round in 0..ROUNDS {
                    one_image(&mut caller, &format!("{number}-{round}"));
                    let member = json!({"member": format!("{number:016}{round:016}")});
                    caller.send(Request::new("POST", &format!("{crowd}/members")).json(&member)).expect(200);
                }
            });
        }
    });
    for mut caller in [0, 1].map(|first| Caller::new(addresses, first)) {
        let members = caller.get(&format!("{crowd}/members")).expect(200).json();
        assert_eq!(members["members"].as_array().unwrap().len(), clients * ROUNDS);
    }
    if cloud.has_server() {
        for _ in 0..ROUNDS {
            rivals(addresses);
        }
        let theirs = Host { address: addresses[0], staging: cloud.conf.dir.join("staging") };
        let hosts = [theirs, Host { address: ours.address, staging }];
        Balancer::start(folder.path(), hosts, token_of("demo").unwrap()).exercise_staging();
    }
}

/// Each change is there for the other service, and undone by none.
fn one_image(caller: &mut Caller, name: &str) {
    let data = name.repeat(20_000).into_bytes();
    let path = caller.create(name);
    caller.patch(&path, &json!([{"op": "add", "path": "/one", "value": name}]));
    caller.send(upload(&path, &data)).expect(204);
    assert!(caller.get(&format!("{path}/file")).expect(200).body == data, "other data");
    caller.send(Request::new("PUT", &format!("{path}/tags/second"))).expect(204);
    caller.patch(
        &path,
        &json!([{"op": "add", "path": "/two", "value": name}, {"op": "replace", "path": "/one", "value": "1"}]),
    );
    caller.patch(&path, &json!([{"op": "replace", "path": "/name", "value": "renamed"}]));
    for _ in 0..2 {
        let shown = caller.get(&path).expect(200).json();
        let mut tags: Vec<&str> = shown["tags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        tags.sort_unstable();
        assert_eq!(tags, ["first", "second"], "{shown}");
        let found = [&shown["status"], &shown["name"], &shown["one"], &shown["two"], &shown["size"]];
        let wanted = [json!("active"), json!("renamed"), json!("1"), json!(name), json!(data.len())];
        assert!(found.into_iter().eq(&wanted), "{shown}");
    }
    caller.send(Request::new("DELETE", &path)).expect(204);
    caller.get(&path).expect(404);
}

/// Of two uploads to one image, one to each service, one wins, and the data is its own.
pub(super) fn rivals(addresses: [SocketAddr; 2]) {
    let path = Caller::new(addresses, 0).create("rivals");
    let data = [b"a", b"b"].map(|letter| letter.repeat(300_000));
    let statuses = thread::scope(|scope| {
        let path = &path;
        let both = [0, 1].map(|which| {
            let data = &data[which];
            // The first request of a caller goes to the service after `first`.
            scope.spawn(move || Caller::new(addresses, which + 1).send(upload(path, data)).status)
        });
        both.map(|one| one.join().unwrap())
    });
    let winners: Vec<usize> = (0..2).filter(|&which| statuses[which] == 204).collect();
    assert_eq!(winners.len(), 1, "{statuses:?}");
    for mut caller in [0, 1].map(|first| Caller::new(addresses, first)) {
        assert!(caller.get(&format!("{path}/file")).expect(200).body == data[winners[0]], "{statuses:?}");
        assert_eq!(caller.get(&path).expect(200).json()["status"], "active");
    }
    Caller::new(addresses, 0).send(Request::new("DELETE", &path)).expect(204);
}
