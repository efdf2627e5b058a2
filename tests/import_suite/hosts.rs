//! Several hosts: one that dies, one that stops, and one that has what another needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::super::common::balancer::{self, Balancer};
use super::super::common::{Body, Conf, Request, Server, free_port, wait_for};
use super::super::{
    LEASE, MIB, PATIENCE, Web, assert_free, conf, create, direct, download, import, objects, shown, sqlite, stage,
    task, wait_for_begin, wait_for_task, with_slow_mount,
};
use super::serve;

/// Another host: the same database and stores, with a state directory of its own.
pub(super) fn elsewhere(conf: &Conf, name: &str) -> Conf {
    let mut other = conf.clone();
    other.dir = conf.dir.join(name);
    other.port = free_port();
    fs::create_dir_all(&other.dir).unwrap();
    let (port, state) = (other.port, other.dir.join("state").display().to_string());
    other.set("DEFAULT.bind_port", port).set("service.state_directory", state)
}

/// As [`elsewhere`], with a staging area of its own.
pub(super) fn staging_elsewhere(conf: &Conf, name: &str) -> Conf {
    let other = elsewhere(conf, name);
    let staging = other.dir.join("staging").display().to_string();
    let url = format!("http://127.0.0.1:{}", other.port);
    let other = other.set("os_glance_staging_store.filesystem_store_datadir", staging);
    other.set("DEFAULT.worker_self_reference_url", url)
}

fn host(conf: &Conf, name: &str) -> Server {
    Server::start(staging_elsewhere(conf, name))
}

#[test]
fn the_imports_of_a_host_that_died_are_ended_by_another_host() {
    let web = Web::start();
    let (mut server, mount) = with_slow_mount(conf(&web));
    let [running, hung, waiting, staged] = [(); 4].map(|()| create(&server));
    stage(&server, &staged, &[b'w'; 1000]);
    let to = |stores: &[&str]| json!({"method": {"name": "web-download", "uri": web.url()}, "stores": stores});
    import(&server, &running, &to(&["fast"]));
    wait_for_begin(&web, &server, &running);
    import(&server, &hung, &to(&["slow", "fast"]));
    import(&server, &waiting, &to(&["fast"]));
    import(&server, &staged, &direct());
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    let input = json!({"import_from": web.url(), "import_from_format": "", "image_properties": image});
    let making = server.send(&Request::new("POST", "/v2/tasks").json(&json!({"type": "import", "input": input})));
    let making = making.expect(201).json()["id"].as_str().unwrap().to_owned();
    server.crash();
    web.go_on.send(false).unwrap();
    let other = Server::start(elsewhere(&server.conf, "other"));
    mount.stall();
    // Whatever the clock of the other host said: only what is seen from here counts.
    let aged = "update tasks set updated_at = '2020-01-01 00:00:00.000000' where type = 'api_image_import'";
    sqlite(&server.conf.database(), aged);
    let begin = Instant::now();
    let ended = |id: &String| {
        wait_for("the end of a task", LEASE * 2, || Some(task(&other, id)).filter(|task| task["status"] == "failure"))
    };
    let message = ended(&running)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("The host that worked on this task was not heard of any more"), "{message}");
    assert!(begin.elapsed() > LEASE - Duration::from_secs(5), "{:?}: the host may live", begin.elapsed());
    assert_free(&shown(&other, &running), "queued");
    let gone = wait_for("the end of a task without an image", LEASE, || {
        let task = other.send(&Request::new("GET", &format!("/v2/tasks/{making}"))).expect(200).json();
        (task["status"] == "failure").then_some(task)
    });
    assert!(gone["message"].as_str().unwrap().contains("was not heard of any more"), "{gone}");
    // A store that does not answer holds up nobody else, and its image is nobody's until it does.
    ended(&waiting);
    assert_free(&shown(&other, &waiting), "queued");
    ended(&staged);
    assert_eq!(shown(&other, &staged)["status"], "uploading");
    import(&other, &staged, &direct());
    wait_for_task(&other, &staged, "success");
    wait_for("the image is taken", PATIENCE, || (shown(&other, &hung)["status"] == "importing").then_some(()));
    assert_eq!(task(&other, &hung)["status"], "pending");
    let upload = Request::new("PUT", &format!("/v2/images/{hung}/file")).data(Body::Sized(vec![b'u'; 1000]));
    assert_eq!(other.send(&upload).status, 409);
    mount.go_on();
    ended(&hung);
    assert_free(&shown(&other, &hung), "queued");
    other.send(&upload).expect(204);

    import(&other, &running, &download(&web));
    web.go_on.send(true).unwrap();
    wait_for_task(&other, &running, "success");
    assert_free(&shown(&other, &running), "active");
    drop(other);
    // The host that had died comes back, and leaves alone what is not its own any more.
    server.start_again();
    for (id, size) in [(&running, 3 * MIB), (&hung, 1000), (&staged, 1000)] {
        assert_eq!(shown(&server, id)["status"], "active");
        let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200).body;
        assert_eq!(data.len(), size);
    }
}

/// They are nobody's to end but its own otherwise, and nobody else would know what it has written.
#[test]
fn what_a_host_that_died_has_left_of_images_that_others_have_taken_goes_too() {
    let web = Web::start();
    let (mut server, mount) = with_slow_mount(conf(&web));
    let other = Server::start(elsewhere(&server.conf, "other"));
    let [copied, written, given_back, purged, forgotten] = [(); 5].map(|()| create(&server));
    let upload = |id: &str| Request::new("PUT", &format!("/v2/images/{id}/file")).data(Body::Sized(vec![b'u'; 1000]));
    server.send(&upload(&copied)).expect(204);
    mount.stall();
    import(&server, &copied, &json!({"method": {"name": "copy-image"}, "stores": ["slow"]}));
    for id in [&written, &given_back, &purged] {
        // One runs at a time.
        import(&server, id, &json!({"method": {"name": "web-download", "uri": web.url()}, "stores": ["fast"]}));
    }
    let tasks =
        [&copied, &written, &given_back, &purged].map(|id| task(&server, id)["id"].as_str().unwrap().to_owned());
    let (database, dir) = (server.conf.database(), server.conf.dir.clone());
    // The other host looks more often than in each second renewal.
    let renewed_at = || sqlite(&database, &format!("select updated_at from tasks where id = '{}'", tasks[3]));
    for _ in 0..3 {
        let before = renewed_at();
        wait_for("a renewal of the lease", LEASE, || (renewed_at() != before).then_some(()));
    }
    other.send(&Request::new("DELETE", &format!("/v2/images/{copied}"))).expect(204);
    other.send(&upload(&written)).expect(204);
    // By a host that died before anybody could see that it worked.
    insert_task(&database, ("t-forgotten", "2020-01-01"), &forgotten);
    other.send(&Request::new("DELETE", &format!("/v2/images/{forgotten}"))).expect(204);
    // As where a store has refused a deletion, which was taken back.
    sqlite(
        &database,
        &format!("delete from image_properties where image_id = '{given_back}' and name = 'os_glance_data_owner'"),
    );
    server.signal(Signal::SIGKILL);
    mount.go_on();
    server.wait_end(PATIENCE);
    sqlite(
        &database,
        &format!("delete from image_properties where image_id = '{purged}'; delete from images where id = '{purged}'"),
    );
    let left = [("slow", &copied), ("fast", &given_back), ("fast", &purged), ("fast", &forgotten)];
    let place = |(store, id): (&str, &String)| dir.join(store).join(id);
    for each in left {
        fs::write(place(each), "left").unwrap();
    }
    for id in tasks.iter().map(String::as_str).chain(["t-forgotten"]) {
        let ended = wait_for("the end of a task", LEASE * 2, || {
            let task = other.send(&Request::new("GET", &format!("/v2/tasks/{id}"))).expect(200).json();
            (task["status"] == "failure").then_some(task)
        });
        assert!(ended["message"].as_str().unwrap().contains("was not heard of any more"), "{ended}");
    }
    for each in left {
        assert!(!place(each).try_exists().unwrap(), "{each:?}");
    }
    assert_free(&shown(&other, &given_back), "queued");
    let image = shown(&other, &written);
    assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!("active"), None), "{image}");
    let data = other.send(&Request::new("GET", &format!("/v2/images/{written}/file"))).expect(200).body;
    assert_eq!(data.len(), 1000);
    // Also of the deleted image, which may be restored.
    let locks = sqlite(&database, "select count(*) from image_properties where name = 'os_glance_import_task'");
    assert_eq!(locks, "0");
}

#[test]
fn a_stop_finishes_what_runs_keeps_its_lease_and_begins_nothing_more() {
    let web = Web::start();
    let mut server = Server::with(conf(&web));
    let [running, waiting, staged] = [(); 3].map(|()| create(&server));
    stage(&server, &staged, &[b'w'; 1000]);
    import(&server, &running, &download(&web));
    wait_for_begin(&web, &server, &running);
    import(&server, &waiting, &download(&web));
    import(&server, &staged, &direct());
    let other = Server::start(elsewhere(&server.conf, "other"));
    server.signal(Signal::SIGTERM);
    for (id, status) in [(&waiting, "queued"), (&staged, "uploading")] {
        let ended = wait_for_task(&other, id, "failure");
        assert!(ended["message"].as_str().unwrap().contains("stopped before it began this task"), "{ended}");
        let image = shown(&other, id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!(status), None), "{image}");
    }
    import(&other, &staged, &direct());
    wait_for_task(&other, &staged, "success");
    // Often before other hosts would take it.
    let renewed_at =
        || sqlite(&server.conf.database(), &format!("select updated_at from tasks where image_id = '{running}'"));
    let before = renewed_at();
    wait_for("a renewal of the lease", LEASE, || (renewed_at() != before).then_some(()));
    web.go_on.send(true).unwrap();
    wait_for_task(&other, &running, "success");
    assert_free(&shown(&other, &running), "active");
    assert!(server.wait_end(PATIENCE).success());
}

/// A task of upstream's server that imports to the store `fast`, and when it was renewed last.
fn insert_task(database: &Path, (task, time): (&str, &str), image: &str) {
    sqlite(
        database,
        &format!(
            "insert into tasks (id, type, status, owner, created_at, updated_at, deleted, image_id) values \
             ('{task}', 'api_image_import', 'processing', '', '{time} 00:00:00.000000', '{time} 00:00:00.000000', 0, \
             '{image}'); insert into task_info (task_id, input, message) \
             values ('{task}', '{{\"backend\": [\"fast\"]}}', '')"
        ),
    );
}

#[test]
fn what_a_silent_task_has_left_of_its_progress_goes_when_a_location_is_told() {
    let port = serve(BTreeMap::from([("/data".to_owned(), vec![b'd'; 1000])]));
    let server = Server::with(|of| {
        conf(&Web::start())(of)
            .set("DEFAULT.enabled_backends", "fast:file,slow:file,web:http")
            .set("import_filtering_opts.allowed_ports", "[]")
    });
    let id = create(&server);
    let database = server.conf.database();
    insert_task(&database, ("t-old", "2020-01-01"), &id);
    for (name, value) in [("import_task", "t-old"), ("importing_to_stores", "fast"), ("failed_import", "fast,slow")] {
        let insert = "insert into image_properties (image_id, name, value, created_at, deleted) values";
        sqlite(
            &database,
            &format!("{insert} ('{id}', 'os_glance_{name}', '{value}', '2020-01-01 00:00:00.000000', 0)"),
        );
    }
    let place = json!({"url": format!("http://127.0.0.1:{port}/data"), "validation_data": {}});
    server.send(&Request::new("POST", &format!("/v2/images/{id}/locations")).json(&place)).expect(202);
    wait_for("the task's end", PATIENCE, || {
        let image = shown(&server, &id);
        (image["status"] == "active" && image.get("os_glance_import_task").is_none()).then_some(())
    });
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!(image["os_glance_failed_import"], "slow");
}

#[test]
fn an_image_is_taken_from_a_task_that_has_long_been_silent() {
    let web = Web::start();
    let server = Server::with(conf(&web));
    let id = create(&server);
    let database = server.conf.database();
    for (task, time, status) in [("t-new", "2999-01-01", 409), ("t-old", "2020-01-01", 202), ("t-none", "", 202)] {
        // Of upstream's server: nobody owns the data.
        if !time.is_empty() {
            insert_task(&database, (task, time), &id);
        }
        sqlite(
            &database,
            &format!(
                "delete from image_properties; insert into image_properties (image_id, name, value, created_at, deleted) values \
                 ('{id}', 'os_glance_import_task', '{task}', '2020-01-01 00:00:00.000000', 0)"
            ),
        );
        let request = Request::new("POST", &format!("/v2/images/{id}/import")).json(&download(&web));
        assert_eq!(server.send(&request).status, status, "{task}");
        if status == 202 {
            web.go_on.send(false).unwrap();
            wait_for("the import's end", PATIENCE, || {
                shown(&server, &id).get("os_glance_import_task").is_none().then_some(())
            });
        }
    }
    let old = server.send(&Request::new("GET", "/v2/tasks/t-old")).expect(200).json();
    assert_eq!((&old["status"], &old["message"]), (&json!("failure"), &json!("Expired lock preempted")));
}

#[test]
fn the_host_that_imports_removes_what_was_staged_for_an_image_that_another_host_has_deleted() {
    let web = Web::start();
    let (first, mount) = with_slow_mount(conf(&web));
    let [near, far] = ["near", "far"].map(|name| host(&first.conf, name));
    let id = create(&near);
    stage(&near, &id, &vec![b'w'; MIB]);
    mount.stall();
    import(&near, &id, &json!({"method": direct()["method"], "stores": ["slow"]}));
    wait_for("the import runs", PATIENCE, || (shown(&far, &id)["status"] == "importing").then_some(()));
    far.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    let staged = first.conf.dir.join("near/staging").join(&id);
    assert!(staged.try_exists().unwrap());
    mount.go_on();
    wait_for("the staged data goes", PATIENCE, || (!staged.try_exists().unwrap()).then_some(()));
    for folder in ["fast", "slow"] {
        wait_for("the data goes", PATIENCE, || objects(&first.conf, folder).is_empty().then_some(()));
    }
}

#[test]
fn the_host_that_has_the_staged_data_imports_and_deletes() {
    let web = Web::start();
    let first = Server::with(conf(&web));
    let [mut near, far] = ["near", "far"].map(|name| host(&first.conf, name));
    let stage = |server: &Server| {
        let id = create(server);
        stage(server, &id, &vec![b'w'; MIB]);
        assert_eq!(shown(server, &id).get("os_glance_stage_host"), None);
        id
    };
    let staged = |name: &str, id: &str| first.conf.dir.join(name).join("staging").join(id).try_exists().unwrap();
    let direct = direct();
    let id = stage(&near);
    assert!(staged("near", &id) && !staged("far", &id));
    let forwarded = Request::new("POST", &format!("/v2/images/{id}/import")).header("x-openstack-request-id", "far");
    let accepted = far.send(&forwarded.json(&direct)).expect(202);
    // The log of the host that has done the work tells of the request under that id.
    let request_id = accepted.header("x-openstack-request-id").unwrap().to_owned();
    assert_ne!(request_id, "req-far");
    near.log_with(&request_id);
    wait_for_task(&far, &id, "success");
    assert_eq!(shown(&far, &id)["status"], "active");
    wait_for("the staged data goes", PATIENCE, || (!staged("near", &id)).then_some(()));

    let id = stage(&near);
    far.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert!(!staged("near", &id));

    let id = stage(&near);
    near.crash();
    let refused = far.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&direct));
    assert!(refused.status == 504 && refused.text().contains("Stage host is unavailable"), "{}", refused.text());
    assert_eq!(shown(&far, &id)["status"], "uploading");
    far.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert!(staged("near", &id));
    near.start_again();
    wait_for("the staged data of a deleted image goes", PATIENCE, || (!staged("near", &id)).then_some(()));

    // Whichever of them a load balancer chooses.
    let hosts = [&near, &far]
        .map(|server| balancer::Host { address: server.address, staging: server.conf.dir.join("staging") });
    Balancer::start(&first.conf.dir, hosts, "").exercise_staging();
}

#[test]
fn a_request_is_sent_on_once_where_the_url_leads_back() {
    let web = Web::start();
    let first = Server::with(conf(&web));
    let [near, far] = ["near", "far"].map(|name| host(&first.conf, name));
    // Staged on the first of them, and recorded under a name that the other host had once.
    let staged = |recorded: &Server| {
        let id = create(&near);
        stage(&near, &id, &vec![b'w'; MIB]);
        let port = recorded.conf.port;
        let names = format!("image_id = '{id}' and name = 'os_glance_stage_host'");
        let update =
            format!("update image_properties set value = 'http://localhost:{port}' where {names}; select changes()");
        assert_eq!(sqlite(&first.conf.database(), &update), "1");
        id
    };
    // How often a request was sent on by a host that has it twice then, which the log may tell later than the answer.
    let sent_on = |server: &Server, method: &str, id: &str| {
        let has_both = |log: &String| log.matches(&format!("\"{method} /v2/images/{id}")).count() >= 2;
        let log = wait_for("both requests in the log", PATIENCE, || Some(server.log()).filter(has_both));
        let sent = log.lines().filter(|line| line.contains("a request is sent on to the host") && line.contains(id));
        sent.filter(|line| line.contains(&format!("method={method}"))).count()
    };
    let delete = |id: &str| Request::new("DELETE", &format!("/v2/images/{id}"));
    let import = |id: &str| Request::new("POST", &format!("/v2/images/{id}/import")).json(&direct());
    let is_staged = |id: &str| first.conf.dir.join("near/staging").join(id).try_exists().unwrap();

    let id = staged(&near);
    near.send(&delete(&id)).expect(204);
    assert_eq!(sent_on(&near, "DELETE", &id), 1);
    assert!(!is_staged(&id));

    let id = staged(&near);
    near.send(&import(&id)).expect(202);
    assert_eq!(sent_on(&near, "POST", &id), 1);
    wait_for_task(&near, &id, "success");
    assert_free(&shown(&near, &id), "active");

    // The data is elsewhere.
    let id = staged(&far);
    assert_eq!(far.send(&import(&id)).status, 502);
    assert_eq!(sent_on(&far, "POST", &id), 1);
    assert!(shown(&far, &id)["status"] == "uploading" && is_staged(&id));
    far.send(&delete(&id)).expect(204);
    assert_eq!(sent_on(&far, "DELETE", &id), 1);
    far.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(404);
}
