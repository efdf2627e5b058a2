//! Commits whose answer is cut off, late or lost.

use std::time::{Duration, Instant};

use glance_api::db::model::{ImageUpdate, NewImage, OtherProperties};
use glance_api::db::tasks::{self, NewTask, TaskLock};
use glance_api::db::{DbError, images};
use serde_json::json;

use crate::common::database::{Fault, Kind, Proxy, Server as Database};
use crate::common::{Body, Request, wait_for};
use crate::full::{full_disk, full_disk_in_words, full_tables};
use crate::{Rig, connect, image, patch, uuid};

#[test]
fn lost_commits_on_postgresql() {
    lost_commits(Kind::Postgres);
}

#[test]
fn lost_commits_on_mariadb() {
    lost_commits(Kind::MariaDb);
}

/// Each change is there as a whole or not at all, and the client learns that nobody knows.
fn lost_commits(kind: Kind) {
    let mut rig = Rig::start(kind);
    for (fault, happened) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
        let id = uuid();
        rig.proxy.fault(fault);
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(503);
        assert!(rig.proxy.has_struck(), "{fault:?}");
        let (status, shown) = rig.get(&format!("/v2/images/{id}"));
        assert_eq!(status, if happened { 200 } else { 404 }, "{fault:?}");
        if happened {
            assert_eq!((&shown["name"], &shown["colour"]), (&json!("whole"), &json!("red")));
            assert_eq!(shown["tags"].as_array().unwrap().len(), 2, "{shown}");
        } else {
            rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
        }

        rig.proxy.fault(fault);
        rig.server.send(&patch(&id, "changed")).expect(503);
        let (_, shown) = rig.get(&format!("/v2/images/{id}"));
        let changed = [&shown["name"] == "changed", &shown["colour"] == "changed", shown["tags"] == json!(["changed"])];
        assert_eq!(changed, [happened; 3], "{fault:?}: {shown}");

        let member = json!({"member": "11111111111111111111111111111111"});
        rig.proxy.fault(fault);
        rig.server.send(&Request::new("POST", &format!("/v2/images/{id}/members")).json(&member)).expect(503);
        let (_, members) = rig.get(&format!("/v2/images/{id}/members"));
        assert_eq!(members["members"].as_array().unwrap().len(), usize::from(happened), "{fault:?}: {members}");

        rig.proxy.fault(fault);
        rig.server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(503);
        assert_eq!(rig.get(&format!("/v2/images/{id}")).0, if happened { 404 } else { 200 }, "{fault:?}");
    }
    let id = uuid();
    rig.proxy.fault(Fault::Delay(Duration::from_secs(2)));
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    assert!(rig.proxy.has_struck());

    // An answer that never comes is not waited for without end.
    let id = uuid();
    rig.proxy.fault(Fault::Swallow);
    let start = Instant::now();
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(503);
    assert!(start.elapsed() < Duration::from_secs(28), "{:?}", start.elapsed());
    assert_eq!(rig.get(&format!("/v2/images/{id}")).0, 200);
    rig.server.log_with("it is not known whether the database has committed the change");
    match kind {
        Kind::Postgres => full_disk(Some(&rig.database)),
        Kind::MariaDb => {
            names_of_the_service(&rig);
            full_tables(&mut rig);
            full_disk_in_words(&rig);
        }
    }
}

/// MariaDB takes names for one that differ in case or in accents: a client must not set what the service then takes for its own.
fn names_of_the_service(rig: &Rig) {
    let id = uuid();
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    for name in ["OS_GLANCE_IMPORT_TASK", "Os_glance_data_owner", "ös_glance_importing_to_stores"] {
        let mut other = image(&uuid());
        other[name] = json!("mine");
        let change = json!([{"op": "add", "path": format!("/{name}"), "value": "mine"}]);
        let change = Request::patch(&format!("/v2/images/{id}"), &change);
        for request in [Request::new("POST", "/v2/images").json(&other), change] {
            let text = rig.server.send(&request).expect(403).text();
            assert!(text.contains(&format!("Attribute '{name}' is reserved.")), "{text}");
        }
        let other = other["id"].as_str().unwrap();
        assert_eq!(rig.get(&format!("/v2/images/{other}")).0, 404);
    }
    let (_, shown) = rig.get(&format!("/v2/images/{id}"));
    assert_eq!((&shown["name"], shown.get("OS_GLANCE_IMPORT_TASK")), (&json!("whole"), None), "{shown}");
    // Other names may have capital letters.
    let mut other = image(&uuid());
    other["OS_GLANCE_PROPERTY"] = json!("mine");
    rig.server.send(&Request::new("POST", "/v2/images").json(&other)).expect(201);
    names_from_before(rig, &id);
    imports_beside_names_from_before(rig);
}

/// The image has properties of such names, which its user has set under upstream. They may stay or go, but not change.
fn names_from_before(rig: &Rig, id: &str) {
    for (name, deleted) in [("OS_GLANCE_IMPORT_TASK", 0), ("OS_GLANCE_FAILED_IMPORT", 1)] {
        rig.database.sql(&format!(
            "INSERT INTO image_properties (image_id, name, value, created_at, deleted) VALUES ('{id}', '{name}', 'old', NOW(), {deleted})"
        ));
        let change = json!([{"op": "add", "path": format!("/{name}"), "value": "new"}]);
        let text = rig.server.send(&Request::patch(&format!("/v2/images/{id}"), &change)).expect(403).text();
        assert!(text.contains(&format!("Attribute '{name}' is reserved.")), "{text}");
    }
    let shown = rig.server.send(&patch(id, "changed")).expect(200).json();
    assert_eq!((&shown["name"], &shown["OS_GLANCE_IMPORT_TASK"]), (&json!("changed"), &json!("old")));
    let removal = json!([{"op": "remove", "path": "/OS_GLANCE_IMPORT_TASK"}]);
    let removal = Request::patch(&format!("/v2/images/{id}"), &removal);
    assert_eq!(rig.server.send(&removal).expect(200).json().get("OS_GLANCE_IMPORT_TASK"), None);

    // And then the service's own have place.
    let (lock, failed) = ("os_glance_import_task", "os_glance_failed_import");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = connect(&rig.database.url()).await;
        let task = NewTask {
            id: uuid(),
            kind: "api_image_import".to_owned(),
            owner: "us".to_owned(),
            image_id: Some(id.to_owned()),
            request_id: None,
            user_id: None,
            input: json!({}),
        };
        let task_id = task.id.clone();
        let (image, status) = (id.to_owned(), "queued".to_owned());
        let wanted = TaskLock { image, property: lock, status, takes_over: false };
        tasks::create_locked(&db, task, wanted).await.unwrap();
        let properties = Some(vec![(failed.to_owned(), Some("fast".to_owned()))]);
        let other_properties = OtherProperties::DeleteNamed(Vec::new());
        let change = ImageUpdate { properties, other_properties, ..ImageUpdate::default() };
        let image = images::update(&db, id, change, None).await.unwrap();
        let known = |name: &str| image.properties.iter().find(|(known, _)| known == name)?.1.clone();
        assert_eq!([lock, failed].map(known), [Some(task_id), Some("fast".to_owned())]);

        // What another service gives is refused by its name where the service's own is there already.
        let given = ["plain", "OS_GLANCE_FAILED_IMPORT"].map(|name| (name.to_owned(), Some("x".to_owned())));
        let change = ImageUpdate { properties: Some(given.to_vec()), ..ImageUpdate::default() };
        let refused = images::update(&db, id, change, None).await.unwrap_err();
        assert!(matches!(&refused, DbError::Reserved(name) if name == "OS_GLANCE_FAILED_IMPORT"), "{refused:?}");
    });
}

/// Such a property is in the place of one that an import needs: that is said with its name, and the image stays as it was.
fn imports_beside_names_from_before(rig: &Rig) {
    let id = uuid();
    let path = format!("/v2/images/{id}");
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    rig.server.send(&Request::new("PUT", &format!("{path}/stage")).data(Body::Sized(vec![b'x'; 10]))).expect(204);
    let import = Request::new("POST", &format!("{path}/import")).json(&json!({"method": {"name": "glance-direct"}}));
    let set = |name: &str| {
        rig.database.sql(&format!(
            "INSERT INTO image_properties (image_id, name, value, created_at, deleted) VALUES ('{id}', '{name}', 'old', NOW(), 0)"
        ));
    };
    let remove = |name: &str| {
        let removal = json!([{"op": "remove", "path": format!("/{name}")}]);
        rig.server.send(&Request::patch(&path, &removal)).expect(200);
    };
    let told = |name: &str| format!("The property '{name}' of the image is in the place of one of the service's own.");
    let ended = |status: &str| {
        wait_for("the end of the import", Duration::from_secs(60), || {
            let (_, tasks) = rig.get(&format!("{path}/tasks"));
            tasks["tasks"].as_array()?.iter().find(|task| task["status"] == status).cloned()
        })
    };

    set("OS_GLANCE_IMPORT_TASK");
    let text = rig.server.send(&import).expect(409).text();
    assert!(text.contains(&told("OS_GLANCE_IMPORT_TASK")), "{text}");
    remove("OS_GLANCE_IMPORT_TASK");

    set("Os_glance_failed_import");
    rig.server.send(&import).expect(202);
    let task = ended("failure");
    assert!(task["message"].as_str().unwrap().contains(&told("Os_glance_failed_import")), "{task}");
    let (_, shown) = rig.get(&path);
    assert_eq!((&shown["status"], shown.get("os_glance_import_task")), (&json!("uploading"), None), "{shown}");
    remove("Os_glance_failed_import");

    rig.server.send(&import).expect(202);
    ended("success");
    assert_eq!(rig.get(&path).1["status"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_layer_itself_says() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let database = Database::start(kind);
        let proxy = Proxy::before(&database);
        let db = connect(&proxy.url()).await;
        db.create_schema().await.unwrap();
        for (fault, happened) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
            let id = uuid();
            proxy.fault(fault);
            let error = images::create(&db, NewImage::new(&id)).await.unwrap_err();
            assert!(error.is_unknown() && error.is_unavailable(), "{error:?}");
            assert_eq!(images::get(&db, &id, false).await.unwrap().is_some(), happened, "{fault:?}");
            if !happened {
                images::create(&db, NewImage::new(&id)).await.unwrap();
            }
            // The transition of an upload's row: who is told that it is unknown finds out by looking.
            let status = |text: &str| ImageUpdate { status: Some(text.to_owned()), ..ImageUpdate::default() };
            proxy.fault(fault);
            let error = images::update(&db, &id, status("saving"), Some(&["queued"])).await.unwrap_err();
            assert!(error.is_unknown(), "{error:?}");
            let found = images::get(&db, &id, false).await.unwrap().unwrap().status;
            assert_eq!(found, if happened { "saving" } else { "queued" });
        }
        // What is refused stays refused, and a connection that broke before the COMMIT is tried again.
        let refused = images::update(&db, "none", ImageUpdate::default(), None).await.unwrap_err();
        assert!(!refused.is_unknown() && matches!(refused, DbError::NotFound { .. }), "{refused:?}");
        proxy.away();
        proxy.again();
        images::create(&db, NewImage::new(uuid())).await.unwrap();
    }
}
