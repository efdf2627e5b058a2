//! What a service finds after it has died.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::super::common::{Body, Conf, Request, Server, http, pause, wait_for};
use super::super::{
    MIB, PATIENCE, Web, assert_free, assert_nothing_left, conf, create, direct, download, import, objects, shown,
    sqlite, stage, task, wait_for_begin, wait_for_task, with_slow_mount,
};

#[test]
fn a_crash_during_a_download_leaves_a_queued_image_and_nothing_else() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let (first, waiting) = (create(&server), create(&server));
    import(&server, &first, &download(&web));
    wait_for_begin(&web, &server, &first);
    // One runs at a time.
    import(&server, &waiting, &download(&web));
    assert_eq!(task(&server, &waiting)["status"], "pending");
    // A task with nothing to do needs nobody who ends it.
    let nothing = json!({"type": "location_import", "input": {}});
    let nothing = server.send(&Request::new("POST", "/v2/tasks").json(&nothing)).expect(201).json();
    assert_eq!((&nothing["status"], nothing.get("expires_at")), (&json!("pending"), None), "{nothing}");
    server.crash();
    web.go_on.send(false).unwrap();
    server.start_again();
    let path = format!("/v2/tasks/{}", nothing["id"].as_str().unwrap());
    let ended = server.send(&Request::new("GET", &path)).expect(200).json();
    assert_eq!((&ended["status"], ended["expires_at"].is_string()), (&json!("failure"), true), "{ended}");
    // Soon, as this is the machine of the worker that died.
    for (id, text) in [(&first, "while it worked on this task"), (&waiting, "before it began this task")] {
        let task = wait_for_task(&server, id, "failure");
        assert!(task["message"].as_str().unwrap().contains(text), "{task}");
        let image = shown(&server, id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!("queued"), None), "{image}");
    }
    assert_nothing_left(&server.conf);
    import(&server, &first, &download(&web));
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &first, "success");
    assert_free(&shown(&server, &first), "active");
}

#[test]
fn a_crash_while_staging_leaves_a_queued_image_and_staged_data_survives_one() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let (half, whole, gone) = (create(&server), create(&server), create(&server));
    for id in [&whole, &gone] {
        stage(&server, id, &vec![b'w'; MIB]);
    }
    let mut stream = http::connect(server.address).unwrap();
    let head = Request::new("PUT", &format!("/v2/images/{half}/stage"))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", &(8 * MIB).to_string())
        .head("localhost");
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; MIB]).unwrap();
    wait_for("staging", PATIENCE, || (shown(&server, &half)["status"] == "uploading").then_some(()));
    server.crash();
    // As if the worker had died between the row and the staged data.
    sqlite(&server.conf.database(), &format!("update images set deleted = 1, status = 'deleted' where id = '{gone}'"));
    server.start_again();
    wait_for("the image is queued", PATIENCE, || (shown(&server, &half)["status"] == "queued").then_some(()));
    let staging = server.conf.dir.join("staging");
    wait_for("data of a deleted image goes", PATIENCE, || (!staging.join(&gone).try_exists().unwrap()).then_some(()));
    assert!(!staging.join(&half).try_exists().unwrap());
    import(&server, &whole, &json!({"method": {"name": "glance-direct"}, "all_stores": true}));
    wait_for_task(&server, &whole, "success");
    let image = shown(&server, &whole);
    assert_free(&image, "active");
    assert_eq!((&image["size"], &image["stores"]), (&json!(MIB), &json!("fast,slow")));
    server.send(&Request::new("DELETE", &format!("/v2/images/{whole}"))).expect(204);
    assert_nothing_left(&server.conf);
}

#[test]
fn data_that_a_plugin_has_changed_does_not_survive_a_crash() {
    let web = Web::start();
    let plugins = |conf: Conf| conf.set("image_import_opts.image_import_plugins", "[image_decompression]");
    let (mut server, mount) = with_slow_mount(|given| plugins(conf(&web)(given)));
    let id = create(&server);
    let disk = server.conf.dir.join("disk");
    fs::write(&disk, vec![b'd'; MIB]).unwrap();
    let compressed = Command::new("gzip").arg("-c").arg(&disk).output().unwrap().stdout;
    stage(&server, &id, &compressed);
    mount.stall();
    import(&server, &id, &json!({"method": {"name": "glance-direct"}, "stores": ["slow"]}));
    let staged = server.conf.dir.join("staging").join(&id);
    let is_decompressed = || fs::metadata(&staged).is_ok_and(|file| file.len() == MIB as u64).then_some(());
    wait_for("the staged data is decompressed", PATIENCE, is_decompressed);
    // It ends when the store answers.
    server.signal(Signal::SIGKILL);
    mount.go_on();
    server.wait_end(PATIENCE);
    server.start_again();
    // It would not fit the image's size.
    let image = shown(&server, &id);
    assert_free(&image, "queued");
    assert_eq!(image["size"], Value::Null);
    assert_nothing_left(&server.conf);
    stage(&server, &id, &compressed);
    import(&server, &id, &json!({"method": {"name": "glance-direct"}, "all_stores": true}));
    wait_for_task(&server, &id, "success");
    assert_eq!(shown(&server, &id)["size"], MIB);
}

#[test]
fn whenever_a_worker_is_killed_nothing_is_stuck_and_nothing_left() {
    let web = Web::start();
    let mut server = Server::with(|conf_of| conf(&web)(conf_of).set("wsgi.task_pool_threads", 4));
    for round in 0..16_u64 {
        let ids: Vec<String> = (0..3).map(|_| create(&server)).collect();
        let address = server.address;
        let clients: Vec<_> = ids
            .iter()
            .cloned()
            .map(|id| {
                thread::spawn(move || {
                    let mut client = http::Client::new(address);
                    let stage = format!("/v2/images/{id}/stage");
                    let import = format!("/v2/images/{id}/import");
                    let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
                    let copy = json!({"method": {"name": "copy-image"}, "all_stores": true});
                    // The service goes away somewhere in between.
                    let _ = client.try_send(&Request::new("PUT", &stage).data(Body::Sized(vec![b'y'; MIB])));
                    let _ = client.try_send(&Request::new("POST", &import).json(&direct));
                    for _ in 0..20 {
                        let _ = client.try_send(&Request::new("POST", &import).json(&copy));
                    }
                })
            })
            .collect();
        pause(Duration::from_millis(8 + round * 9));
        server.crash();
        clients.into_iter().for_each(|client| client.join().unwrap());
        server.start_again();
        let mut expected = [("fast", Vec::new()), ("slow", Vec::new()), ("staging", Vec::new())];
        for id in &ids {
            let image = shown(&server, id);
            assert_eq!(image.get("os_glance_import_task"), None, "round {round}: {image}");
            let stores = image["stores"].as_str().unwrap_or_default();
            match image["status"].as_str().unwrap() {
                "queued" => assert_eq!(stores, ""),
                "uploading" => expected[2].1.push(id.clone()),
                "active" => assert_eq!((&image["size"], stores.is_empty()), (&json!(MIB), false)),
                _ => panic!("round {round}: {image}"),
            }
            for (store, wanted) in &mut expected[..2] {
                wanted.extend(stores.split(',').any(|name| name == *store).then(|| id.clone()));
            }
        }
        for (folder, mut wanted) in expected {
            wanted.sort();
            assert_eq!(objects(&server.conf, folder), wanted, "round {round}: {folder}");
        }
        let tasks = server.send(&Request::new("GET", "/v2/tasks?limit=1000")).expect(200).json();
        let over = |task: &Value| task["status"] == "success" || task["status"] == "failure";
        assert!(tasks["tasks"].as_array().unwrap().iter().all(over), "round {round}: {tasks}");
        for id in ids {
            server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
        }
    }
}

#[test]
fn what_others_have_done_since_a_crash_is_respected() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let [running, taken, ended, deleted, late] = [(); 5].map(|()| create(&server));
    import(&server, &running, &download(&web));
    wait_for_begin(&web, &server, &running);
    let tasks = [&taken, &ended, &deleted, &late].map(|id| {
        import(&server, id, &download(&web));
        task(&server, id)["id"].as_str().unwrap().to_owned()
    });
    server.crash();
    web.go_on.send(false).unwrap();
    let (database, dir) = (server.conf.database(), server.conf.dir.clone());
    let write = |sql: &str| drop(sqlite(&database, sql));
    // Another machine ends it just now.
    write(&format!(
        "update images set status = 'importing' where id = '{taken}'; update image_properties set value = value || '/elsewhere/x' \
         where image_id = '{taken}' and name = 'os_glance_data_owner'"
    ));
    // Its task has ended without it.
    write(&format!("update images set status = 'importing' where id = '{ended}'"));
    write(&format!("update tasks set status = 'failure' where image_id in ('{ended}', '{late}')"));
    // Its data waits for the scrubber.
    write(&format!(
        "update images set status = 'pending_delete', deleted = 1, deleted_at = updated_at where id = '{deleted}'"
    ));
    fs::write(dir.join("fast").join(&deleted), "wanted").unwrap();
    // It was given back, its client has staged data, and then the slow worker has written.
    write(&format!(
        "update images set status = 'uploading', size = 6 where id = '{late}'; delete from image_properties where image_id = '{late}'"
    ));
    fs::write(dir.join("staging").join(&late), "staged").unwrap();
    // One of them lies where the next import goes.
    for store in ["fast", "slow"] {
        fs::write(dir.join(store).join(&late), "late").unwrap();
    }
    server.start_again();

    let status = |id: &str| sqlite(&database, &format!("select status from tasks where id = '{id}'"));
    let locked = |image: &Value| image.get("os_glance_import_task").is_some();
    let mut wrong = Vec::new();
    let mut check = |what: &'static str, is_right: bool| wrong.extend((!is_right).then_some(what));
    let image = shown(&server, &taken);
    check("taken elsewhere", image["status"] == "importing" && locked(&image) && status(&tasks[0]) == "pending");
    let is_ended = |image: &Value| image["status"] == "queued" && !locked(image);
    wait_for("the image of an ended task is queued", PATIENCE, || is_ended(&shown(&server, &ended)).then_some(()));
    let is_there = |store: &str, id: &str| dir.join(store).join(id).try_exists().unwrap();
    wait_for("the task of a deleted image ends", PATIENCE, || (status(&tasks[2]) == "failure").then_some(()));
    check("pending delete", is_there("fast", &deleted));
    wait_for("the late data goes", PATIENCE, || {
        let is_left = is_there("fast", &late) || is_there("slow", &late) || locked(&shown(&server, &late));
        (!is_left).then_some(())
    });
    check("late data", shown(&server, &late)["status"] == "uploading" && is_there("staging", &late));
    import(&server, &late, &direct());
    wait_for_task(&server, &late, "success");
    check("late data that stays", !is_there("slow", &late) && is_there("fast", &late));
    check("image with late data", shown(&server, &late)["status"] == "active");
    assert!(wrong.is_empty(), "{wrong:?}");
}
