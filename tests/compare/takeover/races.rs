//! Two requests at the same moment, each to a worker process of its own: one wins, or both do, and nothing is half done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::cloud::Cloud;
use super::side_by_side::{Caller, rivals, upload};
use crate::common::{Answer, Body, Request, is_thorough, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that a project may store.
const QUOTA: usize = 2_500_000;

struct Race {
    addresses: [SocketAddr; 2],
    stores: [PathBuf; 2],
}

pub(super) fn exercise(cloud: &Cloud) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let workers = [0, 1].map(|number| {
        cloud.another_host(folders[number].path(), |conf| {
            conf.set("DEFAULT.delayed_delete", false).set("DEFAULT.user_storage_quota", format!("{QUOTA}B"))
        })
    });
    let stores = ["fast", "slow"].map(|store| cloud.conf.dir.join(store));
    let race = Race { addresses: [workers[0].address, workers[1].address], stores };
    let rounds = if is_thorough() { 200 } else { 3 };
    for _ in 0..rounds {
        rivals(race.addresses);
        race.upload_and_delete();
        race.two_patches();
        race.members();
        race.two_imports();
        race.quota_edge();
    }
    for worker in &workers {
        assert!(!worker.log().contains("panicked"), "{}", worker.log());
    }
}

impl Race {
    fn caller(&self) -> Caller {
        Caller::new(self.addresses, 0)
    }

    /// One request to each worker, at once.
    fn both(&self, requests: [Request; 2]) -> [Answer; 2] {
        self.both_of("demo", requests)
    }

    fn both_of(&self, who: &'static str, requests: [Request; 2]) -> [Answer; 2] {
        thread::scope(|scope| {
            let mut which = 0;
            let both = requests.map(|request| {
                which += 1;
                let mut caller = Caller::new(self.addresses, which).of(who);
                scope.spawn(move || caller.send(request))
            });
            both.map(|one| one.join().unwrap())
        })
    }

    fn is_stored(&self, path: &str) -> bool {
        let id = path.rsplit('/').next().unwrap();
        self.stores.iter().any(|store| store.join(id).try_exists().unwrap())
    }

    /// Whoever is first, in the end there is neither image nor data.
    fn upload_and_delete(&self) {
        let path = self.caller().create("contested");
        let data = b"c".repeat(300_000);
        let [uploaded, deleted] = self.both([upload(&path, &data), Request::new("DELETE", &path)]);
        assert!([204, 404, 409, 410].contains(&uploaded.status), "{} {}", uploaded.status, uploaded.text());
        if deleted.status != 204 {
            assert_eq!(deleted.status, 409, "{}", deleted.text());
            self.caller().send(Request::new("DELETE", &path)).expect(204);
        }
        self.caller().get(&path).expect(404);
        wait_for("the data goes", PATIENCE, || (!self.is_stored(&path)).then_some(()));
    }

    fn two_patches(&self) {
        let path = self.caller().create("patched");
        let patch = |name: &str| {
            let change = json!([{"op": "add", "path": format!("/{name}"), "value": name}, {"op": "add", "path": "/both", "value": name}]);
            Request::patch(&path, &change)
        };
        for answer in self.both([patch("one"), patch("two")]) {
            assert!([200, 409].contains(&answer.status), "{} {}", answer.status, answer.text());
            if answer.status == 200 {
                assert!(answer.json()["both"].is_string());
            }
        }
        let shown = self.caller().get(&path).expect(200).json();
        assert!(shown["both"] == "one" || shown["both"] == "two", "{shown}");
        assert!(shown["one"] == "one" || shown["two"] == "two", "{shown}");
    }

    fn members(&self) {
        let path = format!("{}/members", self.caller().create("shared"));
        let add = |member: &str| Request::new("POST", &path).json(&json!({"member": member}));
        let mut same = self.both([add("m"), add("m")]).map(|answer| answer.status);
        same.sort_unstable();
        assert_eq!(same, [200, 409]);
        assert_eq!(self.both([add("n"), add("o")]).map(|answer| answer.status), [200, 200]);
        assert_eq!(self.caller().get(&path).json()["members"].as_array().unwrap().len(), 3);
    }

    /// One of them takes the staged data.
    fn two_imports(&self) {
        let path = self.caller().create("imported");
        let data = b"i".repeat(100_000);
        let stage = Request::new("PUT", &format!("{path}/stage")).data(Body::Sized(data.clone()));
        self.caller().send(stage).expect(204);
        let import =
            || Request::new("POST", &format!("{path}/import")).json(&json!({"method": {"name": "glance-direct"}}));
        let mut statuses = self.both([import(), import()]).map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409]);
        wait_for("the import ends", PATIENCE, || {
            let shown = self.caller().get(&path).json();
            (shown["status"] == "active" && shown["os_glance_import_task"].is_null()).then_some(())
        });
        assert!(self.caller().get(&format!("{path}/file")).expect(200).body == data);
        self.caller().send(Request::new("DELETE", &path)).expect(204);
        wait_for("the data goes", PATIENCE, || (!self.is_stored(&path)).then_some(()));
    }

    /// There is room for one of two images, whether or not their sizes are known beforehand. Both may be refused.
    fn quota_edge(&self) {
        let mut owner = self.caller().of("alt");
        let paths = [owner.create("large"), owner.create("larger")];
        let sized = upload(&paths[0], &b"q".repeat(QUOTA / 5 * 3));
        let pieces = vec![b"r".repeat(QUOTA / 5); 3];
        let of_unknown_size = Request { body: Body::Chunked(pieces), ..upload(&paths[1], b"") };
        let statuses = self.both_of("alt", [sized, of_unknown_size.clone()]).map(|answer| answer.status);
        assert!(statuses.iter().all(|status| [204, 413].contains(status)) && statuses != [204, 204], "{statuses:?}");
        for (path, status) in paths.iter().zip(statuses) {
            let shown = owner.get(path).expect(200).json();
            assert_eq!(shown["status"], if status == 204 { "active" } else { "queued" }, "{shown}");
            assert_eq!(self.is_stored(path), status == 204, "{shown}");
        }
        owner.send(Request::new("DELETE", &paths[0])).expect(204);
        // Nothing of what was refused counts any more.
        if statuses[1] != 204 {
            owner.send(of_unknown_size).expect(204);
        }
        owner.send(Request::new("DELETE", &paths[1])).expect(204);
    }
}
