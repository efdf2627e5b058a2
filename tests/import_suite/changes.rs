//! What changes while an import runs: the image, its stores, the configuration, and who asked for it.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::super::common::{Conf, Request, Server, pause, wait_for};
use super::super::{
    MIB, NOWHERE, PATIENCE, Web, assert_free, assert_nothing_left, conf, create, direct, download, import, objects,
    shown, sqlite, stage, task, wait_for_begin, wait_for_task, with_slow_mount,
};
use super::disks::ask;
use super::{known, serve, serve_by, token, with_keystone};

fn patch(id: &str, change: &Value) -> Request {
    Request::patch(&format!("/v2/images/{id}"), change)
}

fn several_at_a_time(web: &Web) -> impl FnOnce(Conf) -> Conf {
    let set = conf(web);
    move |conf| set(conf).set("wsgi.task_pool_threads", 4).set("import_filtering_opts.allowed_ports", "[]")
}

#[test]
fn an_image_that_others_change_during_its_import_is_as_they_want_it() {
    let web = Web::start();
    let (server, mount) = with_slow_mount(several_at_a_time(&web));
    let id = create(&server);
    import(&server, &id, &json!({"method": {"name": "web-download", "uri": web.url()}, "stores": ["fast"]}));
    wait_for_begin(&web, &server, &id);
    let action = |name: &str| Request::new("POST", &format!("/v2/images/{id}/actions/{name}"));
    let refused = server.send(&action("deactivate")).expect(403);
    assert!(refused.text().contains("Not allowed to deactivate image in status 'importing'"), "{}", refused.text());
    let change = json!([
        {"op": "replace", "path": "/protected", "value": true},
        {"op": "replace", "path": "/owner", "value": "another-project"},
        {"op": "replace", "path": "/name", "value": "renamed"},
    ]);
    server.send(&patch(&id, &change)).expect(200);
    let delete = Request::new("DELETE", &format!("/v2/images/{id}"));
    server.send(&delete).expect(403);
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &id, "success");
    let image = shown(&server, &id);
    assert_free(&image, "active");
    let found = ["protected", "owner", "name", "size"].map(|name| &image[name]);
    assert_eq!(found, [&json!(true), &json!("another-project"), &json!("renamed"), &json!(3 * MIB)]);

    // Data that is barred is not copied, as at upstream.
    mount.stall();
    import(&server, &id, &json!({"method": {"name": "copy-image"}, "stores": ["slow"]}));
    wait_for("the copy runs", PATIENCE, || {
        (shown(&server, &id)["os_glance_importing_to_stores"] == "slow").then_some(())
    });
    server.send(&action("deactivate")).expect(204);
    mount.go_on();
    assert_eq!(wait_for_task(&server, &id, "failure")["message"], NOWHERE);
    let image = shown(&server, &id);
    assert_free(&image, "deactivated");
    assert_eq!((&image["stores"], &image["os_glance_failed_import"]), (&json!("fast"), &json!("slow")));
    assert!(objects(&server.conf, "slow").is_empty());
    server.send(&patch(&id, &json!([{"op": "replace", "path": "/protected", "value": false}]))).expect(200);
    server.send(&delete).expect(204);
    assert_nothing_left(&server.conf);
}

#[test]
fn a_store_that_is_away_takes_nothing_and_one_that_comes_by_a_reload_does() {
    let web = Web::start();
    let server = Server::with(several_at_a_time(&web));
    let dir = server.conf.dir.clone();
    let staged = create(&server);
    stage(&server, &staged, &[b'w'; 1000]);
    let to = |method: Value, stores: &[&str]| json!({"method": method, "stores": stores});
    let everywhere = to(direct()["method"].clone(), &["fast", "slow"]);
    fs::rename(dir.join("slow"), dir.join("away")).unwrap();
    import(&server, &staged, &everywhere);
    let failed = wait_for_task(&server, &staged, "failure");
    assert!(failed["message"].as_str().unwrap().contains("No such file or directory"), "{failed}");
    let image = shown(&server, &staged);
    assert_free(&image, "uploading");
    assert_eq!(image["os_glance_failed_import"], "slow");
    assert!(objects(&server.conf, "fast").is_empty());
    fs::rename(dir.join("away"), dir.join("slow")).unwrap();
    import(&server, &staged, &everywhere);
    wait_for_task(&server, &staged, "success");
    assert_eq!(shown(&server, &staged)["stores"], "fast,slow");

    let running = create(&server);
    import(&server, &running, &download(&web));
    wait_for_begin(&web, &server, &running);
    let copy = Request::new("POST", &format!("/v2/images/{staged}/import"));
    let copy = copy.json(&to(json!({"name": "copy-image"}), &["third"]));
    assert_eq!(server.send(&copy).status, 409, "there is no such store yet");
    let third = dir.join("third");
    fs::create_dir(&third).unwrap();
    let more = server.conf.clone().set("DEFAULT.enabled_backends", "fast:file,slow:file,third:file");
    more.set("third.filesystem_store_datadir", third.display()).write();
    server.signal(Signal::SIGHUP);
    wait_for("the store is there", PATIENCE, || {
        let stores = server.send(&Request::new("GET", "/v2/info/stores")).expect(200).text();
        stores.contains("third").then_some(())
    });
    server.send(&copy).expect(202);
    wait_for_task(&server, &staged, "success");
    wait_for("the copy is there", PATIENCE, || (shown(&server, &staged)["stores"] == "fast,slow,third").then_some(()));
    // What has begun before goes on.
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &running, "success");
    assert_free(&shown(&server, &running), "active");
    for id in [&staged, &running] {
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
    assert_nothing_left(&server.conf);
    assert!(objects(&server.conf, "third").is_empty());
}

#[test]
fn a_configuration_that_is_refused_begins_no_task() {
    let web = Web::start();
    let server = Server::with(|conf_of| conf(&web)(conf_of).set("wsgi.task_pool_threads", 1));
    let [running, waiting] = [(); 2].map(|()| create(&server));
    import(&server, &running, &download(&web));
    wait_for_begin(&web, &server, &running);
    import(&server, &waiting, &download(&web));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = server.conf.clone().set("wsgi.task_pool_threads", 2);
    more.set("DEFAULT.bind_port", taken.local_addr().unwrap().port()).write();
    server.signal(Signal::SIGHUP);
    wait_for("the refusal", PATIENCE, || server.log().contains("the old one stays in force").then_some(()));
    // A task would have begun long ago.
    pause(Duration::from_millis(500));
    assert_eq!(task(&server, &waiting)["status"], "pending");
    server.conf.clone().set("wsgi.task_pool_threads", 2).write();
    server.signal(Signal::SIGHUP);
    wait_for("the task begins", PATIENCE, || (task(&server, &waiting)["status"] == "processing").then_some(()));
    for id in [&running, &waiting] {
        web.go_on.send(true).unwrap();
        wait_for_task(&server, id, "success");
    }
}

#[test]
fn an_import_outlives_the_token_of_its_caller() {
    let (web, is_expired) = (Web::start(), Arc::new(AtomicBool::new(false)));
    let expired = Arc::clone(&is_expired);
    let keystone = serve_by(|port| {
        move |method: &str, path: &str| {
            let is_known = method == "POST" || !expired.load(Ordering::Relaxed);
            (path == "/v3/auth/tokens" && is_known).then(|| token(port))
        }
    });
    let server = Server::with(|conf_of| {
        // Keystone is asked about each request.
        with_keystone(conf(&web)(conf_of), keystone).set("keystone_authtoken.token_cache_time", -1)
    });
    let image = json!({"name": "imported", "disk_format": "raw", "container_format": "bare"});
    let made = server.send(&known("POST", "/v2/images").json(&image)).expect(201).json();
    let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
    server.send(&known("POST", &format!("{path}/import")).json(&download(&web))).expect(202);
    web.asked.recv_timeout(PATIENCE).unwrap();
    is_expired.store(true, Ordering::Relaxed);
    server.send(&known("GET", &path)).expect(401);
    web.go_on.send(true).unwrap();
    let status = || sqlite(&server.conf.database(), "select status from images");
    wait_for("the import's end", PATIENCE, || (status() == "active").then_some(()));
    is_expired.store(false, Ordering::Relaxed);
    assert_eq!(server.send(&known("GET", &path)).expect(200).json()["stores"], "fast,slow");
    server.send(&known("DELETE", &path)).expect(204);
    assert_nothing_left(&server.conf);
}

/// The image that a task makes.
fn made(server: &Server) -> String {
    wait_for("the image is made", PATIENCE, || {
        let images = server.send(&Request::new("GET", "/v2/images?name=made")).expect(200).json();
        Some(images["images"].get(0)?["id"].as_str().unwrap().to_owned())
    })
}

/// Deletes the images of two tasks, one of each kind of import, and waits until these have ended because of that.
#[track_caller]
fn assert_ended_by_deletion(server: &Server, ids: [&str; 2]) {
    for id in ids {
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
    let tasks = wait_for("the end of the tasks", PATIENCE, || {
        let tasks = server.send(&Request::new("GET", "/v2/tasks?status=failure")).expect(200).json();
        Some(tasks["tasks"].as_array().unwrap().clone()).filter(|tasks| tasks.len() == 2)
    });
    for task in tasks {
        let task = server.send(&Request::new("GET", &format!("/v2/tasks/{}", task["id"].as_str().unwrap())));
        let task = task.expect(200).json();
        let expected = match task["type"].as_str().unwrap() {
            "import" => "the image has been deleted",
            _ => "Image has been deleted, aborting import.",
        };
        assert!(task["message"].as_str().unwrap().contains(expected), "{task}");
    }
    assert_nothing_left(&server.conf);
}

#[test]
fn a_download_that_hardly_goes_on_ends_after_the_deletion_of_its_image() {
    let [web, making] = [(); 2].map(|()| Web::start());
    let server = Server::with(several_at_a_time(&web));
    let id = create(&server);
    import(&server, &id, &download(&web));
    wait_for_begin(&web, &server, &id);
    let image = json!({"name": "made", "disk_format": "raw", "container_format": "bare"});
    ask(&server, &making.url(), &image).expect(201);
    making.asked.recv_timeout(PATIENCE).unwrap();
    // Nothing more comes, and the servers' silence alone would be borne for longer.
    assert_ended_by_deletion(&server, [&id, &made(&server)]);
}

/// A small disk in the format qcow2 whose 512 GiB are the same 64 KiB of zeros again and again: to convert it takes minutes, and no room.
fn long_disk() -> Vec<u8> {
    const CLUSTER: u64 = 1 << 16;
    // Header, table of tables, table of clusters, data, table of reference counts.
    let mut disk = vec![0; 5 * CLUSTER as usize];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &2_u32.to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &(1_u64 << 39).to_be_bytes());
    put(36, &1024_u32.to_be_bytes());
    put(40, &CLUSTER.to_be_bytes());
    put(48, &(4 * CLUSTER).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(CLUSTER as usize, &(2 * CLUSTER).to_be_bytes().repeat(1024));
    put(2 * CLUSTER as usize, &(3 * CLUSTER).to_be_bytes().repeat(8192));
    disk
}

/// The qemu-img that converts the data of an image. It is stopped, and takes as long as it is let.
fn stopped_conversion(id: &str) -> Pid {
    let is_it = |command: &str| command.starts_with("qemu-img\0convert\0") && command.contains(id);
    let pid = wait_for("the conversion begins", PATIENCE, || {
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        let found = processes
            .find(|process| fs::read_to_string(process.path().join("cmdline")).is_ok_and(|command| is_it(&command)));
        found?.file_name().to_str()?.parse().ok()
    });
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGSTOP).unwrap();
    pid
}

#[test]
fn a_conversion_ends_after_the_deletion_of_its_image() {
    let port = serve(BTreeMap::from([("/disk".to_owned(), long_disk())]));
    let server = Server::with(|conf| {
        conf.two_stores()
            .own_state()
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{port}]"))
            .set("image_import_opts.image_import_plugins", "[image_conversion]")
            .set("image_conversion.output_format", "raw")
            .set("taskflow_executor.conversion_format", "raw")
    });
    let image = json!({"name": "made", "disk_format": "qcow2", "container_format": "bare"});
    ask(&server, &format!("http://127.0.0.1:{port}/disk"), &image).expect(201);
    let made = made(&server);
    let created = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
    let id = created["id"].as_str().unwrap();
    stage(&server, id, &long_disk());
    import(&server, id, &direct());
    let children = [id, &made].map(stopped_conversion);
    assert_ended_by_deletion(&server, [id, &made]);
    for child in children {
        assert!(kill(child, None).is_err(), "qemu-img goes on");
    }
    assert!(objects(&server.conf, "tasks").is_empty());
}
