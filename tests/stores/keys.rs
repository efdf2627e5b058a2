//! Keys of encrypted images in a real Barbican, when the images are deleted.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::common::peers::{Barbican, Keystone};
use super::common::{Answer, Client, Conf, Request, Server, wait_for};
use super::on_both_sides;

/// One who deletes images, and the key manager.
struct Caller<'a> {
    barbican: &'a Barbican,
    client: Client,
    token: String,
}

impl Caller<'_> {
    #[track_caller]
    fn send(&mut self, request: Request) -> Answer {
        self.client.send(&request.header("X-Auth-Token", &self.token))
    }

    /// A key of whoever has the token, in Barbican.
    #[track_caller]
    fn key(&self, token: &str) -> String {
        let key = json!({"name": "a volume's", "payload": "c2VjcmV0", "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64"});
        let made = self.ask(Request::new("POST", "/v1/secrets").json(&key), token).expect(201).json();
        made["secret_ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// Whether Barbican still has a key.
    #[track_caller]
    fn has(&self, key: &str, token: &str) -> bool {
        match self.ask(Request::new("GET", &format!("/v1/secrets/{key}")), token).status {
            200 => true,
            404 => false,
            other => panic!("{other}"),
        }
    }

    fn ask(&self, request: Request, token: &str) -> Answer {
        let request = request.header("X-Auth-Token", token).header("OpenStack-API-Version", "key-manager 1.1");
        Client::new(self.barbican.address()).send(&request)
    }

    /// An image; returns its path.
    #[track_caller]
    fn image(&mut self, key: &str, policy: &str) -> String {
        let image = json!({"name": "a", "disk_format": "raw", "container_format": "bare", "cinder_encryption_key_id": key,
            "cinder_encryption_key_deletion_policy": policy});
        let made = self.send(Request::new("POST", "/v2/images").json(&image)).expect(201).json();
        format!("/v2/images/{}", made["id"].as_str().unwrap())
    }

    /// Makes an image with the key, and deletes it.
    #[track_caller]
    fn delete(&mut self, key: &str, policy: &str) -> u16 {
        let image = self.image(key, policy);
        self.send(Request::new("DELETE", &image)).status
    }
}

const GOES: &str = "on_image_deletion";

#[test]
fn a_key_goes_with_its_image() {
    let keystone = Keystone::shared();
    let barbican = Barbican::start(keystone);
    let tokens = keystone.tokens(&["demo@demo", "alt_demo@alt_demo", "demo_admin@demo"]);
    let (own, others) = (tokens["demo@demo"].as_str(), tokens["alt_demo@alt_demo"].as_str());
    let with_barbican = |conf: Conf| {
        let conf = conf.set("barbican.auth_endpoint", &keystone.url);
        conf.set("barbican.barbican_endpoint", &barbican.url)
    };
    on_both_sides(with_barbican, |side| {
        let name = side.name;
        let mut caller = Caller { barbican: &barbican, client: Client::new(side.address()), token: side.token.clone() };
        let (gone, referred, stays, foreign, needed) =
            (caller.key(own), caller.key(own), caller.key(own), caller.key(others), caller.key(own));
        assert_eq!(caller.delete(&gone, GOES), 204, "{name}");
        assert_eq!(caller.delete(&format!("{}/v1/secrets/{referred}", barbican.url), GOES), 204, "{name}");
        assert!(!caller.has(&gone, own) && !caller.has(&referred, own), "{name}");

        for policy in ["never", "", "On_Image_Deletion"] {
            assert_eq!(caller.delete(&stays, policy), 204, "{name}");
        }
        let image = caller.image(&stays, GOES);
        caller
            .send(Request::patch(&image, &json!([{"op": "replace", "path": "/protected", "value": true}])))
            .expect(200);
        caller.send(Request::new("DELETE", &image)).expect(403);
        assert!(caller.has(&stays, own), "{name}");

        // What Barbican refuses keeps no image.
        assert_eq!(caller.delete(&foreign, GOES), 204, "{name}");
        let consumer = json!({"service": "compute", "resource_type": "instance", "resource_id": "1"});
        caller.ask(Request::new("POST", &format!("/v1/secrets/{needed}/consumers")).json(&consumer), own).expect(200);
        assert_eq!(caller.delete(&needed, GOES), 204, "{name}");
        assert!(caller.has(&foreign, others) && caller.has(&needed, own), "{name}");
        assert_eq!((caller.delete(&gone, GOES), caller.delete("", GOES)), (204, 204), "{name}");

        // Upstream has removed the data by then, and keeps the image.
        let nonsense = caller.delete("no key", GOES);
        if name == "upstream" {
            return assert_eq!(nonsense, 500);
        }
        assert_eq!(nonsense, 204);
        for words in [
            format!("Could not find encryption key {gone}"),
            format!("Failed to delete cinder encryption key {foreign}"),
            format!("Failed to delete cinder encryption key {needed}"),
            "Failed to delete cinder encryption key no key".to_owned(),
        ] {
            // A thread of its own writes the log, perhaps after the answer.
            wait_for(&words, Duration::from_secs(20), || {
                let log = std::fs::read_to_string(side.conf.dir.join("log")).unwrap();
                log.contains(&words).then_some(())
            });
        }
    });

    data_that_waits_for_the_scrubber_keeps_no_key(&barbican, own, &tokens["demo_admin@demo"], with_barbican);
    barbican.stop();
}

/// Nor does one see a key go of which one may not know.
fn data_that_waits_for_the_scrubber_keeps_no_key(
    barbican: &Barbican,
    own: &str,
    admin: &str,
    change: impl Fn(Conf) -> Conf,
) {
    let rules = "[^cinder_encryption_key_.*]\ncreate = admin,member\nread = admin\nupdate = admin\ndelete = admin\n\
                 [.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n";
    let server = Server::with(|conf| {
        change(conf.keystone(Keystone::shared())).set("DEFAULT.delayed_delete", true).protections(rules)
    });
    let mut caller = Caller { barbican, client: server.client(), token: own.to_owned() };
    let key = caller.key(own);
    let data = |image: &str| Request::new("PUT", &format!("{image}/file")).data(super::Body::Sized(b"0123".to_vec()));
    for (token, is_left) in [(own, true), (admin, false)] {
        token.clone_into(&mut caller.token);
        let image = caller.image(&key, GOES);
        caller.send(data(&image)).expect(204);
        caller.send(Request::new("DELETE", &image)).expect(204);
        assert_eq!(caller.has(&key, own), is_left);
    }
    assert_eq!(super::sql(&server.conf, "select distinct status from images"), "pending_delete");
}

#[test]
fn a_key_manager_that_does_not_answer_keeps_no_image() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let keystone = Keystone::shared();
    let server = Server::with(|conf| {
        conf.keystone(keystone)
            .set("barbican.barbican_endpoint", format!("http://{}", silent.local_addr().unwrap()))
            .set("barbican.timeout", 1)
    });
    let token = keystone.token("demo@demo");
    let key = "d152fa13-2b41-42ca-a934-6c21566c0f40";
    let image = json!({"name": "a", "cinder_encryption_key_id": key, "cinder_encryption_key_deletion_policy": GOES});
    let delete = || {
        let send = |request: Request| server.send(&request.header("X-Auth-Token", &token));
        let made = send(Request::new("POST", "/v2/images").json(&image)).expect(201).json();
        let started = Instant::now();
        send(Request::new("DELETE", &format!("/v2/images/{}", made["id"].as_str().unwrap()))).expect(204);
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        made["id"].as_str().unwrap().to_owned()
    };
    let image_id = delete();
    let log = server.log_with(&format!("Failed to delete cinder encryption key {key}"));
    let line = log.lines().find(|line| line.contains("Failed to delete cinder")).unwrap();
    assert!(line.contains(&image_id) && line.contains("WARN"), "{line}");

    server.conf.clone().set("key_manager.backend", "vault").write();
    server.signal(Signal::SIGHUP);
    server.log_with("[key_manager] backend vault is not part of this version: encryption keys stay");
    delete();
    wait_for("that another key manager keeps its keys", Duration::from_secs(20), || {
        let log = server.log();
        let mut lines = log.lines().filter(|line| line.contains(&format!("cinder encryption key {key}")));
        lines.any(|line| line.contains("[key_manager] backend vault is not part of this version")).then_some(())
    });
}
