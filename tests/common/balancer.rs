//! A load balancer before two hosts: HAProxy, from the distribution's package.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;

use super::database::program;
use super::{Answer, Body, Client, Request, ends_with_thread, free_port, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
/// Each request goes to the other host than the one before, so that few of these are needed.
const ROUNDS: usize = 32;

/// A host that has staged data of its own.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) staging: PathBuf,
}

/// HAProxy before two hosts, which get requests in turn; ends with the test.
pub(crate) struct Balancer {
    address: SocketAddr,
    hosts: [Host; 2],
    token: String,
    process: Child,
}

impl Balancer {
    /// `token`: what is sent as the caller's token.
    pub(crate) fn start(folder: &Path, hosts: [Host; 2], token: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let [first, second] = [&hosts[0], &hosts[1]].map(|host| host.address);
        let path = folder.join("haproxy.cfg");
        // The answer says which of the two has given it.
        let text = format!(
            "global\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen images\n bind {address}\n balance roundrobin\n http-response set-header X-Served-By %s\n \
             server 0 {first}\n server 1 {second}\n"
        );
        std::fs::write(&path, text).unwrap();
        let mut command = ends_with_thread(&program("haproxy", "haproxy"));
        let command = command.args(["-db", "-q", "-f"]).arg(path).stdin(Stdio::null()).stdout(Stdio::null());
        let balancer = Self { address, hosts, token: token.to_owned(), process: command.spawn().unwrap() };
        wait_for("the load balancer", PATIENCE, || TcpStream::connect(address).ok());
        balancer
    }

    /// Images are staged, and then imported or deleted, through the balancer, until each host has had to do both with data that the
    /// other one has.
    pub(crate) fn exercise_staging(&self) {
        let mut seen = HashSet::new();
        for round in 0..ROUNDS {
            let imports = round % 4 < 2;
            let data = format!("{round} ").repeat(30_000).into_bytes();
            let (id, near) = self.stage(&data);
            let path = format!("/v2/images/{id}");
            let answer = if imports {
                let import = json!({"method": {"name": "glance-direct"}});
                self.send(Request::new("POST", &format!("{path}/import")).json(&import)).expect(202)
            } else {
                self.send(Request::new("DELETE", &path)).expect(204)
            };
            let asked = served_by(&answer);
            let staged = self.hosts[near].staging.join(&id);
            wait_for("the staged data goes", PATIENCE, || (!staged.try_exists().unwrap()).then_some(()));
            // Of whom is asked here does not matter.
            if imports {
                let [one, other] = [near, 1 - near];
                wait_for("the end of the import", PATIENCE, || {
                    let image = self.at(one, Request::new("GET", &path)).expect(200).json();
                    (image["status"] == "active" && image["os_glance_import_task"].is_null()).then_some(())
                });
                assert!(self.at(other, Request::new("GET", &format!("{path}/file"))).expect(200).body == data);
                self.at(other, Request::new("DELETE", &path)).expect(204);
            }
            for host in [0, 1] {
                self.at(host, Request::new("GET", &path)).expect(404);
            }
            if asked != near {
                seen.insert((asked, imports));
            }
            if seen.len() == 4 {
                return;
            }
        }
        panic!(
            "after {ROUNDS} rounds only {seen:?} (host, whether it imports) went on with what the other one has staged"
        );
    }

    /// An image with staged data, and which host has that.
    fn stage(&self, data: &[u8]) -> (String, usize) {
        let image = json!({"name": "staged", "disk_format": "raw", "container_format": "bare"});
        let made = self.send(Request::new("POST", "/v2/images").json(&image)).expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let stage = Request::new("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(data.to_vec()));
        let near = served_by(&self.send(stage).expect(204));
        let is_there = |host: usize| self.hosts[host].staging.join(&id).try_exists().unwrap();
        assert!(is_there(near) && !is_there(1 - near), "host {near} has staged the data, and no other");
        (id, near)
    }

    fn send(&self, request: Request) -> Answer {
        self.send_to(self.address, request)
    }

    /// Past the balancer.
    fn at(&self, host: usize, request: Request) -> Answer {
        self.send_to(self.hosts[host].address, request)
    }

    fn send_to(&self, address: SocketAddr, request: Request) -> Answer {
        Client::new(address).send(&request.header("X-Auth-Token", &self.token))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn served_by(answer: &Answer) -> usize {
    answer.header("x-served-by").unwrap().parse().unwrap()
}
