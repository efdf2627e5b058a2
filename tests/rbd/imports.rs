//! Imports into a cluster and another store, where one of them is enough.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::peers::Ceph;
use super::common::{Body, Conf, Request, Server, http, wait_for};
use super::{MIB, create, delete, download, show};

/// The cluster's operations end after some seconds when it is away.
const PATIENCE: Duration = Duration::from_secs(90);

/// A web server of a file of 64 MiB. It sends half of it to each who asks, and the rest when it is told so, or breaks off.
struct Web {
    url: String,
    go_on: mpsc::Sender<bool>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/image", listener.local_addr().unwrap());
        let (go_on, told) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                http::skip_head(&connection);
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", 64 * MIB);
                let half = vec![b'x'; 32 * MIB];
                // Whoever asked may be gone by now.
                let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&half));
                if told.recv().unwrap_or(false) {
                    let _ = connection.write_all(&half);
                }
            }
        });
        Self { url, go_on }
    }
}

/// A store on disk and one in the cluster; one import runs at a time.
fn two_kinds(conf: Conf, ceph: &Ceph) -> Conf {
    conf.two_stores()
        .set("DEFAULT.enabled_backends", "fast:file,far:rbd")
        .set("far.rbd_store_ceph_conf", &ceph.conf)
        .set("far.rbd_store_user", &ceph.user)
        .set("far.rbd_store_pool", &ceph.pool)
        .set("far.rados_connect_timeout", 3)
        .set("wsgi.task_pool_threads", 1)
        .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
        .set("import_filtering_opts.allowed_ports", "[]")
}

/// A ceph.conf of a cluster that does not say which one it is.
fn unnamed(conf: &Conf, ceph: &Ceph) -> String {
    let lines = fs::read_to_string(&ceph.conf).unwrap();
    let lines: Vec<&str> = lines.lines().filter(|line| !line.starts_with("fsid")).collect();
    let path = conf.dir.join("ceph.conf");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    path.display().to_string()
}

/// Asks for an import that one of these stores is enough for.
fn import(server: &Server, id: &str, method: &Value, stores: &[&str]) {
    let document = json!({"method": method, "stores": stores, "all_stores_must_succeed": false});
    server.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&document)).expect(202);
}

fn web_download(web: &Web) -> Value {
    json!({"name": "web-download", "uri": web.url})
}

#[test]
fn a_cluster_that_goes_away_keeps_nothing_of_an_import_that_another_store_has_taken() {
    let (ceph, web) = (Ceph::private(), Web::start());
    let server = Server::with(|conf| two_kinds(conf, &ceph));
    let mut client = server.client();
    let id = create(&mut client);
    import(&server, &id, &web_download(&web), &["fast", "far"]);
    wait_for("the image is being written", PATIENCE, || ceph.images().contains(&id).then_some(()));
    ceph.away();
    web.go_on.send(true).unwrap();
    wait_for("the import's end", PATIENCE, || (show(&mut client, &id)["status"] == "active").then_some(()));
    let image = show(&mut client, &id);
    assert_eq!((&image["stores"], &image["os_glance_failed_import"]), (&json!("fast"), &json!("far")), "{image}");
    // Nobody waits for the cluster.
    server.wait_for_recovery("a look at what is left", PATIENCE, || {
        server.log().contains("cannot clean up after a dead worker yet").then_some(())
    });
    let is_free = |image: &Value| image.get("os_glance_import_task").is_none();
    wait_for("the image is free", PATIENCE, || is_free(&show(&mut client, &id)).then_some(()));

    ceph.again();
    server.wait_for_recovery("nothing is left", PATIENCE, || (!ceph.images().contains(&id)).then_some(()));
    wait_for("the image is free", PATIENCE, || is_free(&show(&mut client, &id)).then_some(()));
    import(&server, &id, &json!({"name": "copy-image"}), &["far"]);
    wait_for("the copy", PATIENCE, || (show(&mut client, &id)["stores"] == "fast,far").then_some(()));
    assert_eq!(client.send(&download(&id)).expect(200).body.len(), 64 * MIB);
    wait_for("the image is free", PATIENCE, || is_free(&show(&mut client, &id)).then_some(()));
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));
    drop(server);
    ceph.stop();
}

#[test]
fn a_cluster_that_comes_back_before_its_import_begins_keeps_nothing_after_a_crash() {
    let (ceph, web) = (Ceph::private(), Web::start());
    ceph.away();
    let mut server = Server::with(|conf| {
        let path = unnamed(&conf, &ceph);
        two_kinds(conf, &ceph).set("far.rbd_store_ceph_conf", path)
    });
    let mut client = server.client();
    let [running, waiting] = [(); 2].map(|()| create(&mut client));
    import(&server, &running, &web_download(&web), &["fast"]);
    wait_for("the first import begins", PATIENCE, || {
        (show(&mut client, &running)["status"] == "importing").then_some(())
    });
    // Nobody can say yet where its data would go.
    import(&server, &waiting, &web_download(&web), &["fast", "far"]);
    ceph.again();
    web.go_on.send(false).unwrap();
    wait_for("the image is being written", PATIENCE, || ceph.images().contains(&waiting).then_some(()));
    server.crash();
    web.go_on.send(false).unwrap();
    server.start_again();
    for id in [&running, &waiting] {
        server.wait_for_recovery("the image is queued", PATIENCE, || {
            (show(&mut server.client(), id)["status"] == "queued").then_some(())
        });
    }
    wait_for("nothing is left", PATIENCE, || (!ceph.images().contains(&waiting)).then_some(()));
    drop(server);
    ceph.stop();
}

/// Where its data will go is known from ceph.conf, or not at all.
#[test]
fn an_import_into_a_cluster_that_was_never_there_is_a_task_that_fails_or_is_refused() {
    for (fsid, status) in [("fsid = 46e03f27-64b5-4c4c-afd4-f5ea2a4a9a5a\n", 202), ("", 503)] {
        let server = Server::with(|conf| {
            let path = conf.dir.join("ceph.conf");
            let text = format!("[global]\n{fsid}mon_host = 127.0.0.1:1\nauth_client_required = none\n");
            fs::write(&path, text).unwrap();
            conf.set("glance_store.stores", "rbd")
                .set("glance_store.default_store", "rbd")
                .set("glance_store.rbd_store_ceph_conf", path.display())
                .set("glance_store.rados_connect_timeout", 2)
        });
        let mut client = server.client();
        let id = create(&mut client);
        let stage = Request::new("PUT", &format!("/v2/images/{id}/stage")).data(Body::Sized(vec![b'x'; 1000]));
        client.send(&stage).expect(204);
        let import = json!({"method": {"name": "glance-direct"}});
        client.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&import)).expect(status);
        let tasks = Request::new("GET", &format!("/v2/images/{id}/tasks"));
        let statuses = || -> Vec<Value> {
            let tasks = server.send(&tasks).expect(200).json();
            tasks["tasks"].as_array().unwrap().iter().map(|task| task["status"].clone()).collect()
        };
        let expected: &[&str] = if status == 202 { &["failure"] } else { &[] };
        wait_for("the task's end", PATIENCE, || (statuses() == expected).then_some(()));
        // Its data is still staged.
        let image = show(&mut client, &id);
        assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!("uploading"), None), "{image}");
        client.send(&delete(&id)).expect(204);
    }
}
